import {
  CharDevices,
  DmaDirection,
  DmaMapper,
  Driver,
  EFAULT,
  ENOMEM,
  FOLL_LONGTERM,
  FOLL_WRITE,
  Gup,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  driver,
} from '@pincushion/driver';
import type { MappedRange, Mm, PinnedRange, Task } from '@pincushion/driver';
import type { DeviceBed } from '@pincushion/testing';
import { FindingsError, testDevice } from '@pincushion/testing';
import { z } from 'zod';
import { MATCH, Widget } from './widget';

const LENGTH = 3 * 4096;

/** Calls what makes a task, and does nothing with it. */
function forget(call: () => unknown): void {
  call();
}

const Config = z.strictObject({ node: z.string().default('widget') });

/** Pins and maps on request, and gives back what it is told to. */
@driver({ name: 'registrar', api: 1, match: MATCH, config: Config })
class Registrar extends Driver<typeof Config> {
  private stops = 0;

  constructor(
    readonly gup: Gup,
    readonly dma: DmaMapper,
    private readonly chars: CharDevices,
  ) {
    super();
  }

  override *probe(): Task {
    this.own(this.chars.register(this.config.node, { ioctl: (file, command) => this.forgetTask(file.mm, command) }));
  }

  override *remove(): Task {
    // Nothing in flight.
  }

  *pin(mm: Mm, address: number): Task<PinnedRange | number> {
    return yield* this.gup.pinRange({ mm, address, length: LENGTH }, FOLL_WRITE | FOLL_LONGTERM);
  }

  keep(pinned: PinnedRange, mapped: MappedRange): void {
    this.own(pinned);
    this.own(mapped);
  }

  /** The planted bug: calls what may sleep and does nothing with the task. */
  private *forgetTask(mm: Mm, command: number): Task<number> {
    if (command === 0) forget(() => this.gup.pinRange({ mm, address: 0, length: 1 }, 0));
    if (command === 1) forget(() => this.stopHardware());
    if (command === 2) this.device.world.spawn(this.stopHardware(), { name: 'stop' });
    if (command === 3) yield* this.stopHardware();
    return this.stops;
  }

  private *stopHardware(): Task {
    yield* this.device.world.sleep(10);
    this.stops++;
  }
}

/** Overrides a generator by a plain method that gives a task. */
class Polite extends Registrar {
  readonly said: string[] = [];

  override remove(): Task {
    this.said.push('goodbye');
    return super.remove();
  }
}

function setUp(): DeviceBed<Registrar, Widget> & { pinned: PinnedRange; mapped: MappedRange } {
  const bed = testDevice(Registrar, { hardware: Widget });
  const { process, driver } = bed;
  const address = bed.world.settle(process.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  const pinned = bed.run(driver.pin(process.mm, address));
  if (typeof pinned === 'number') throw new Error(`not pinned: ${pinned}`);
  const mapped = driver.dma.mapRange(pinned, DmaDirection.fromDevice);
  if (typeof mapped === 'number') throw new Error(`not mapped: ${mapped}`);
  return Object.assign(bed, { pinned, mapped });
}

function closing(bed: DeviceBed<Registrar, Widget>): FindingsError {
  try {
    bed.close();
  } catch (error) {
    if (error instanceof FindingsError) return error;
    throw error;
  }
  throw new Error('nothing was found');
}

describe('a driver', () => {
  it('that owns what it pins and maps leaves nothing behind', () => {
    const bed = setUp();
    bed.driver.keep(bed.pinned, bed.mapped);
    expect(bed.process.mm.pinnedVm).toBe(3);
    bed.close();
    expect(bed.process.mm.pinnedVm).toBe(0);
  });

  it('that forgets to unmap is named', () => {
    const bed = setUp();
    const codes = closing(bed).findings.map((finding) => finding.code);
    expect(codes).toContain('DMA_MAPPING_LEAK');
    expect(bed.findings.find((finding) => finding.code === 'DMA_MAPPING_LEAK')?.summary).toContain('dev0');
  });

  it('that forgets to unpin is named, with the place where it pinned', () => {
    const bed = setUp();
    bed.mapped.release();
    const [finding] = closing(bed).findings;
    expect(finding.code).toBe('PIN_LEAK');
    expect(finding.summary).toContain('3 pages');
    expect(finding.device).toBe('dev0');
    expect(finding.sites[0].site).toMatch(/planted-bugs\.test\.ts:\d+/);
    expect(bed.findings).toHaveLength(1);
  });

  it('that drops a task is named, with the place of the call', () => {
    const bed = setUp();
    bed.driver.keep(bed.pinned, bed.mapped);
    const fd = bed.run(bed.process.open('/dev/widget'));
    bed.run(bed.process.ioctl(fd, 0));
    const [finding] = closing(bed).findings;
    expect(finding.code).toBe('TASK_NEVER_STARTED');
    expect(finding.summary).toContain('Gup.pinRange');
    expect(finding.sites[0].site).toContain('planted-bugs.test.ts');
  });

  it('that drops a task of its own is named, with the place of the call; one that is driven or spawned is not', () => {
    const bed = setUp();
    bed.driver.keep(bed.pinned, bed.mapped);
    const fd = bed.run(bed.process.open('/dev/widget'));
    expect([3, 2, 1].map((command) => bed.run(bed.process.ioctl(fd, command)))).toEqual([1, 1, 1]);
    bed.advance(100);
    expect(bed.run(bed.process.ioctl(fd, 4))).toBe(2);
    const { findings } = closing(bed);
    expect(findings.map(({ code, summary }) => [code, summary])).toEqual([
      ['TASK_NEVER_STARTED', "the task of Registrar.stopHardware was never started: it needs 'yield*', or 'spawn'"],
    ]);
    expect(findings[0].sites[0].site).toMatch(/planted-bugs\.test\.ts:\d+/);
  });

  it('may override a task by a plain method: the override is what is called', () => {
    driver({ name: 'polite', api: 1, match: MATCH, config: Config, deps: [Gup, DmaMapper, CharDevices] })(Polite);
    const bed = testDevice(Polite, { hardware: Widget });
    bed.close();
    expect(bed.driver.said).toEqual(['goodbye']);
  });

  it('whose hardware writes outside of its mappings is named', () => {
    const bed = setUp();
    bed.driver.keep(bed.pinned, bed.mapped);
    expect(bed.hardware.writeAt(bed.mapped.iova + LENGTH, 1)).toBe(-EFAULT);
    const [finding] = closing(bed).findings;
    expect(finding.code).toBe('DMA_FAULT');
    expect(finding.summary).toContain('dev0');
  });

  it('that takes the node name of another device is refused', () => {
    const bed = setUp();
    bed.driver.keep(bed.pinned, bed.mapped);
    const second = bed.machine.bus.plugIn({ name: 'dev1', hardware: Widget });
    expect(() => {
      bed.run(bed.machine.bus.probe(second, {}));
    }).toThrow(/DEVICE_DUPLICATE: \/dev\/widget exists already .*dev0/);
    expect(second.state).toBe('unbound');
    bed.run(bed.machine.bus.probe(second, { node: 'other' }));
    expect(second.state).toBe('bound');
    bed.close();
  });

  it('cannot be plugged in under a name that is taken', () => {
    const bed = testDevice(Registrar, { hardware: Widget });
    expect(() => bed.machine.bus.plugIn({ name: 'dev0', hardware: Widget })).toThrow('DEVICE_DUPLICATE');
    bed.close();
  });
});

describe('pinRange', () => {
  it('refuses more than the limit for locked memory, and accounts nothing then', () => {
    const bed = testDevice(Registrar, { hardware: Widget });
    const { process, driver } = bed;
    process.mm.rlimitMemlock = 2 * 4096;
    const address = bed.world.settle(process.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    const range = { mm: process.mm, address, length: LENGTH };
    expect(bed.run(driver.gup.pinRange(range, FOLL_WRITE | FOLL_LONGTERM))).toBe(-ENOMEM);
    expect(process.mm.pinnedVm).toBe(0);
    bed.close();
  });

  it('gives back what it had pinned when a part of the range is not mapped', () => {
    const bed = testDevice(Registrar, { hardware: Widget });
    const { process, driver } = bed;
    const address = bed.world.settle(process.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    const range = { mm: process.mm, address: address + 4096, length: LENGTH + 1024 * 4096 };
    expect(bed.run(driver.gup.pinRange(range, FOLL_WRITE | FOLL_LONGTERM))).toBe(-EFAULT);
    expect(process.mm.pinnedVm).toBe(0);
    bed.close();
  });
});
