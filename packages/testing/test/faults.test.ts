/** What a fault plan does to a device: a small loopback device, its driver, and a program that uses them. */
import {
  CharDevices,
  DeviceModel,
  DmaMapper,
  Driver,
  Gup,
  Interrupts,
  Registers,
  driver,
  hardware,
} from '@pincushion/driver';
import { DmaDirection, EFAULT, EINVAL, EIO, ENODEV, FOLL_WRITE, MAP_ANONYMOUS, MAP_PRIVATE } from '@pincushion/driver';
import { ENOMEM, FOLL_LONGTERM, PROT_READ, PROT_WRITE, newPinnedPages } from '@pincushion/driver';
import type { CharFile, Task, Transfer } from '@pincushion/driver';
import { FaultPlan, fault } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { DeviceBed } from '@pincushion/testing';
import { expectThat, failEach, fake, testDevice } from '@pincushion/testing';
import { z } from 'zod';

const BYTES = 3 * 4096;

/** Fills the memory it is given with ones, after a microsecond; the status register counts what it has done. */
@hardware({ name: 'filler', vendor: 7, device: 7, bars: [{ bytes: 32 }], vectors: 1, config: z.strictObject({}) })
class Filler extends DeviceModel {
  done = 0;
  private readonly registers = new Uint32Array(8);

  override powerOn(): void {
    this.done = 0;
  }

  override mmioRead(_bar: number, offset: number): number {
    return offset === 8 ? this.registers[2] : this.done;
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers[offset >> 2] = value;
    if (offset !== 12) return;
    this.after(1000, () => {
      const error = this.dmaWrite(
        this.registers[0] + this.registers[1] * 2 ** 32,
        new Uint8Array(value).fill(1),
        0,
        value,
      );
      this.registers[2] = -error;
      this.done++;
      this.raise(0);
    });
  }
}

const Config = z.strictObject({ leakWork: z.boolean().default(false) });

@driver({ name: 'filler', api: 1, match: [{ vendor: 7, device: 7 }], config: Config })
class FillerDriver extends Driver<typeof Config> {
  private current: Transfer | null = null;

  constructor(
    private readonly gup: Gup,
    private readonly dma: DmaMapper,
    private readonly registers: Registers,
    private readonly interrupts: Interrupts,
    private readonly chars: CharDevices,
  ) {
    super();
  }

  override *probe(): Task {
    this.own(
      this.interrupts.request(0, 'done', () => {
        this.current?.done(0 - this.registers.read32(8));
      }),
    );
    this.own(this.chars.register('filler', this));
  }

  *open(_file: CharFile): Task<number> {
    return 0;
  }

  *release(_file: CharFile): Task<number> {
    return 0;
  }

  *ioctl(file: CharFile, _command: number, address: number): Task<number> {
    const pinned = yield* this.gup.pinRange({ mm: file.mm, address, length: BYTES }, FOLL_WRITE);
    if (typeof pinned === 'number') return pinned;
    this.own(pinned);
    const mapped = this.dma.mapRange(pinned, DmaDirection.fromDevice);
    if (typeof mapped === 'number') {
      yield* this.giveBack(pinned);
      return mapped;
    }
    this.own(mapped);
    this.current = this.track('fill');
    this.registers.write64lohi(0, mapped.iova);
    this.registers.write32(12, BYTES);
    const status = yield* this.current.ended();
    yield* this.giveBack(mapped, pinned);
    return status;
  }

  override *remove(): Task {
    this.current?.done(-ENODEV);
    yield* this.idle();
  }
}

type Bed = DeviceBed<FillerDriver, Filler>;

function* use(bed: Bed): Task<number> {
  const { process } = bed;
  const mapped = process.mmap(BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  const fd = yield* process.open('/dev/filler');
  if (fd < 0) return fd;
  const result = yield* process.ioctl(fd, 0, address);
  yield* process.close(fd);
  return result;
}

/** The result of one use with a plan that is armed when the driver is bound, and how long it took. */
function once(plan: FaultPlan | string, before: (bed: Bed) => void = () => undefined) {
  using bed = testDevice(FillerDriver, { hardware: Filler });
  before(bed);
  bed.arm(plan);
  const from = bed.world.now;
  return { result: bed.run(use(bed)), ns: bed.world.now - from, done: bed.hardware.done };
}

describe('a fault plan on a device', () => {
  it.each([
    ['pin@1', -EFAULT],
    ['pin@1=ENOMEM', -ENOMEM],
    ['pin.page@2', -EFAULT],
    ['pin.short@1:2', 0],
    ['gup.fast@*', 0],
    ['map@1', -ENOMEM],
    ['dma.write@1', -EIO],
    ['dma.read@1', 0],
    ['dma@1=EFAULT', -EFAULT],
    ['irq@1=twice', 0],
    ['completion@1=twice', 0],
    ['device@t=500ns', -ENODEV],
  ])('%s: the program gets %d, and nothing leaks', (plan, result) => {
    expect(once(plan).result).toBe(result);
  });

  it.each([
    [FaultPlan.of(fault.slowDma(1, '5us')), 6000],
    [FaultPlan.of(fault.late('irq', 1, '2us')), 3000],
    [FaultPlan.of(fault.late('completion', 1, '2us')), 3000],
    [FaultPlan.parse('irq@2=lost'), 1000],
  ])('%s: a transfer takes %d ns', (plan, ns) => {
    expect(once(plan)).toEqual({ result: 0, ns, done: 1 });
  });

  it.each(['irq@1', 'completion@1=lost', 'irq@1=reorder'])('%s: a driver without a timeout waits for ever', (plan) => {
    const bed = testDevice(FillerDriver, { hardware: Filler });
    bed.arm(plan);
    expect(() => bed.run(use(bed))).toThrow(/TASK_STUCK.*waits for transfers of dev0/);
    bed.world.faults.disarm();
    bed.bus.raise(0); // the next message of the device lets the one go that was to be overtaken
    bed.close();
  });

  it('lets a page that fails end a pin before it, so that a retry gets its error (E-07)', () => {
    using bed = testDevice(FillerDriver, { hardware: Filler });
    bed.arm('pin.page@3=ENOMEM');
    expect(bed.run(use(bed))).toBe(-ENOMEM);
    expect(bed.world.faults.count('pin')).toBe(2);
    expect(bed.machine.memory.ledger.counters.pinnedNow).toBe(0);
  });

  it.each([
    ['migrate@1', -ENOMEM],
    ['gup.fast@*', 0],
  ])('%s: a long-term pin of movable memory gives %d', (plan, expected) => {
    using bed = testDevice(FillerDriver, { hardware: Filler, memory: { movable: '16MiB' } });
    const { memory } = bed.machine;
    const mapped = bed.process.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    const address = bed.world.settle(mapped);
    bed.world.settle(bed.process.write(address, new Uint8Array(1)));
    bed.arm(plan);
    const pages = newPinnedPages(1);
    const flags = FOLL_WRITE | FOLL_LONGTERM;
    const pinned = bed.world.settle(memory.gup.pinUserPagesFast(bed.process.mm, address, 1, flags, pages, 0, 0));
    expect(Math.min(pinned, 0)).toBe(expected);
    expect(bed.world.faults.count(plan.startsWith('migrate') ? 'migrate' : 'gup.fast')).toBeGreaterThan(0);
    if (pinned > 0) memory.gup.unpinUserPages(pages, 0, pinned);
  });

  it('given to testDevice holds from the probe on', () => {
    const faults = FaultPlan.of(fault.fails('pin', 1));
    using bed = testDevice(FillerDriver, { hardware: Filler, faults });
    expect([bed.run(use(bed)), bed.run(use(bed))]).toEqual([-EFAULT, 0]);
  });
});

describe('the hardware side of a bed', () => {
  it('completes one by one', () => {
    using bed = testDevice(FillerDriver, { hardware: Filler });
    bed.bus.holdCompletions();
    const running = bed.world.spawn(use(bed), { name: 'use' });
    bed.advance('1ms');
    expect([bed.hardware.done, bed.bus.completionsHeld, running.state]).toEqual([1, 1, 'blocked']);
    bed.bus.completeNext();
    expect(bed.run(running.join())).toBe(0);
    expect(() => {
      bed.bus.completeNext();
    }).toThrow(/DEVICE_INVALID: no completion is held back/);
  });

  it('has registers, and DMA that the IOMMU checks', () => {
    using bed = testDevice(FillerDriver, { hardware: Filler });
    expect(bed.bus.read32(0)).toBe(0);
    bed.bus.write32(8, 5);
    expect(bed.bus.read32(8)).toBe(5);
    expect(bed.bus.dmaWrite(0x5000, new Uint8Array(8))).toBe(-EFAULT);
    expectThat(bed).toHaveFound('DMA_FAULT');
  });
});

describe('failEach', () => {
  const workload = (world: World): number => {
    using bed = testDevice(FillerDriver, { hardware: Filler, world });
    return bed.run(use(bed));
  };

  it.each(['alloc', 'pin', 'pin.page', 'map', 'dma', 'pin.short', 'gup.fast'] as const)(
    'fails each call at %s in turn and finds nothing wrong with a driver that gives everything back',
    (site) => {
      const report = failEach(site, workload);
      expect(report.calls).toBeGreaterThan(0);
      expect(report.runs.map(({ n }) => n)).toEqual(Array.from({ length: report.calls }, (_, i) => i + 1));
      expect(report.failures.map(String)).toEqual([]);
    },
  );

  it('says what each call did, also how the driver hung', () => {
    const report = failEach('pin', (world) => {
      using bed = testDevice(FillerDriver, { hardware: Filler, world });
      return bed.run(use(bed));
    });
    expect(report.failures).toEqual([]);
    expect(String(report)).toBe('pin@1: refused, EFAULT');
    const [lost] = failEach('irq', workload).runs;
    expect([lost.outcome, lost.error?.message]).toEqual(['failed', expect.stringContaining('TASK_STUCK')]);
    expect(String(failEach('alloc', workload, { most: 1 }))).toMatch(
      /^alloc@1: .*\nand \d+ calls that were not tried$/,
    );
  });

  it('throws what the undisturbed workload throws, and refuses a site without calls', () => {
    expect(() =>
      failEach('pin', () => {
        throw new Error('not even alone');
      }),
    ).toThrow('not even alone');
    expect(() => failEach('device', workload)).toThrow(/FAULT_SITE_INVALID/);
  });
});

describe('a fake', () => {
  it('takes the place of a service for one driver, method by method', () => {
    const asked: string[] = [];
    using bed = testDevice(FillerDriver, {
      hardware: Filler,
      fakes: [
        fake(DmaMapper, { mapRange: () => -EINVAL }),
        fake(Gup, (real) => ({
          pinRange: (range, flags) => {
            asked.push(`${range.length} bytes`);
            return real.pinRange(range, flags);
          },
        })),
      ],
    });
    expect(bed.run(use(bed))).toBe(-EINVAL);
    expect(asked).toEqual([`${BYTES} bytes`]);
    expectThat(bed).toHaveNoLeaks();
  });
});
