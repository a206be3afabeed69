import {
  Context,
  Cpus,
  DeviceClock,
  DeviceWork,
  DmaMapper,
  Driver,
  Gup,
  HostFiles,
  Log,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  PinnedRanges,
  Registers,
  driver,
  newGottenPages,
  newPinnedPages,
} from '@pincushion/driver';
import type { DeviceWorkItem, Task } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { z } from 'zod';
import { MATCH, Offset, Widget } from './widget';

const Config = z.strictObject({});

@driver({ name: 'all-services', api: 1, match: MATCH, config: Config })
class AllServices extends Driver<typeof Config> {
  readonly seen: string[] = [];
  item!: DeviceWorkItem;

  constructor(
    readonly registers: Registers,
    readonly dma: DmaMapper,
    readonly gup: Gup,
    readonly work: DeviceWork,
    readonly cpus: Cpus,
    readonly clock: DeviceClock,
    readonly log: Log,
    readonly files: HostFiles,
  ) {
    super();
  }

  override *probe(): Task {
    this.item = this.own(this.work.work('tidy', () => this.tidy()));
  }

  override *remove(): Task {
    this.seen.push('removed');
  }

  private *tidy(): Task {
    this.seen.push(this.device.world.contexts.current === Context.task ? 'begun in a task' : 'begun elsewhere');
    yield* this.clock.sleep(100);
    this.seen.push('ended');
  }
}

function makeBed() {
  return testDevice(AllServices, { hardware: Widget, cpus: 3 });
}

describe('registers', () => {
  it('reach the hardware at once, halves of 64 bits low first', () => {
    using bed = makeBed();
    bed.driver.registers.write64lohi(Offset.address, 0x12_3456_7890);
    expect(bed.hardware.seen).toEqual([Offset.address, Offset.address + 4]);
    expect([bed.hardware.registers[0], bed.hardware.registers[1]]).toEqual([0x3456_7890, 0x12]);
    expect(bed.driver.registers.read64lohi(Offset.address)).toBe(0x12_3456_7890);
    bed.driver.registers.write32(Offset.length, 0xffff_ffff);
    expect(bed.driver.registers.read32(Offset.length)).toBe(0xffff_ffff);
  });

  it('have a window for each BAR and none beyond', () => {
    using bed = makeBed();
    expect(bed.driver.registers.bar(0).bytes).toBe(64);
    expect(() => bed.driver.registers.bar(1)).toThrow('DEVICE_INVALID');
  });
});

describe('work items', () => {
  it('run in task context, once for each time they are queued', () => {
    using bed = makeBed();
    const { item, seen } = bed.driver;
    expect([item.queue(), item.queue()]).toEqual([true, false]);
    bed.advance(200);
    expect(seen).toEqual(['begun in a task', 'ended']);
  });

  it('have ended when the removal has, and cannot be queued afterwards', () => {
    const bed = makeBed();
    bed.driver.item.queue();
    bed.advance(50);
    bed.unplug();
    expect(bed.driver.seen).toEqual(['begun in a task', 'removed', 'ended']);
    expect(bed.driver.item.queue()).toBe(false);
    bed.close();
  });

  it('that have not begun are taken back by the removal', () => {
    const bed = makeBed();
    const item = bed.driver.work.work('late', () => {
      bed.driver.seen.push('ran');
      return undefined;
    });
    item.queue();
    const task = item.release();
    if (task !== undefined) bed.run(task);
    bed.advance(10);
    expect(bed.driver.seen).not.toContain('ran');
    bed.close();
  });
});

describe('user pages', () => {
  it('are taken and given back by the kernel functions, with the device as the owner', () => {
    using bed = makeBed();
    const { process, world, driver } = bed;
    const address = world.settle(process.mmap(8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    world.settle(process.write(address, new Uint8Array(8192)));
    const pinned = newPinnedPages(2);
    expect(world.settle(driver.gup.pinUserPagesFast(process.mm, address, 2, 0, pinned, 0))).toBe(2);
    expect(bed.machine.memory.ledger.livePins().map((pin) => pin.owner)).toEqual(['dev0', 'dev0']);
    driver.gup.unpinUserPages(pinned, 0, 2);
    expect(world.settle(driver.gup.pinUserPages(process.mm, address, 1, 0, pinned, 0))).toBe(1);
    expect(world.settle(driver.gup.unpinUserPagesDirtyLock(pinned, 0, 1, true))).toBe(0);
    const ranges = new PinnedRanges();
    for (const dirty of [false, true]) {
      expect(world.settle(driver.gup.pinUserPageRanges(process.mm, address, 2, 0, ranges))).toBe(2);
      expect(bed.machine.memory.ledger.livePins().map((pin) => pin.owner)).toEqual(['dev0', 'dev0']);
      if (dirty) expect(world.settle(driver.gup.unpinUserPageRangesDirtyLock(ranges, true))).toBe(0);
      else driver.gup.unpinUserPageRanges(ranges);
      expect(bed.machine.memory.ledger.livePins()).toEqual([]);
    }
    const gotten = newGottenPages(2);
    expect(world.settle(driver.gup.getUserPagesFast(process.mm, address, 2, 0, gotten, 0))).toBe(2);
    driver.gup.putPages(gotten, 0, 2);
    expect(world.settle(driver.gup.getUserPages(process.mm, address, 1, 0, gotten, 0))).toBe(1);
    driver.gup.putPages(gotten, 0, 1);
    expect(driver.gup.getUserPagesFastOnly(process.mm, address, 1, 0, gotten, 0)).toBe(1);
    driver.gup.putPages(gotten, 0, 1);
  });
});

describe('coherent memory', () => {
  it('is the same for driver and device, until it is released', () => {
    using bed = makeBed();
    const buffer = bed.driver.dma.coherent(4096, 'ring');
    if (buffer === null) throw new Error('no memory');
    expect(bed.hardware.writeAt(buffer.iova, 4)).toBe(0);
    expect(buffer.words[0] >>> 0).toBe(0xa5a5a5a5);
    expect(buffer.released).toBe(false);
    buffer.release();
    expect(buffer.released).toBe(true);
    expect(bed.hardware.writeAt(buffer.iova, 4)).toBeLessThan(0);
    bed.expectFinding('DMA_FAULT');
  });
});

describe('facts about the machine', () => {
  it('are the number of cpus, the one that runs, and the virtual time', () => {
    using bed = makeBed();
    const { cpus, clock } = bed.driver;
    expect([cpus.count, cpus.current]).toEqual([3, 0]);
    bed.advance(70);
    expect(clock.now).toBe(70);
  });

  it('are noted in a log with times', () => {
    using bed = makeBed();
    bed.driver.log.note('up');
    bed.advance(5);
    bed.driver.log.note('still up');
    expect(bed.device.log).toEqual([
      { atNs: 0, text: 'up' },
      { atNs: 5, text: 'still up' },
    ]);
  });

  it('do not include files of the host unless somebody gives them', () => {
    using bed = makeBed();
    expect(() => bed.driver.files.open('disk.img')).toThrow(/HOST_FILES_REFUSED: disk\.img/);
  });
});
