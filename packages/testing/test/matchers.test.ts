import '@pincushion/testing/jest';
import { DeviceModel, DeviceWork, DmaDirection, DmaMapper, Driver, Gup, driver, hardware } from '@pincushion/driver';
import { FOLL_WRITE, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import type { MappedRange, PinnedRange, Task } from '@pincushion/driver';
import { EFAULT, ENOMEM, PincushionError, World } from '@pincushion/sim';
import { expectThat, testDevice } from '@pincushion/testing';
import { z } from 'zod';

@hardware({ name: 'shelf', vendor: 5, device: 5, bars: [{ bytes: 4 }], vectors: 0, config: z.strictObject({}) })
class Shelf extends DeviceModel {
  override powerOn(): void {
    this.reset();
  }

  override reset(): void {
    this.gone = false;
  }

  override mmioRead(): number {
    return 0;
  }

  override mmioWrite(): void {
    this.gone = false;
  }
}

const Config = z.strictObject({});

/** Pins a page, maps it, and gives both back when it is told. */
@driver({ name: 'shelf', api: 1, match: [{ vendor: 5, device: 5 }], config: Config })
class ShelfDriver extends Driver<typeof Config> {
  pinned: PinnedRange | null = null;
  mapped: MappedRange | null = null;

  constructor(
    private readonly gup: Gup,
    private readonly dma: DmaMapper,
    private readonly work: DeviceWork,
  ) {
    super();
  }

  *probe(): Task {
    // Nothing is needed until a program comes.
  }

  *remove(): Task {
    // What is left behind is what the tests are about.
  }

  *keep(mm: Parameters<Gup['getUserPages']>[0], address: number): Task<number> {
    const pinned = yield* this.gup.pinRange({ mm, address, length: 4096 }, FOLL_WRITE);
    if (typeof pinned === 'number') return pinned;
    const mapped = this.dma.mapRange(pinned, DmaDirection.bidirectional);
    if (typeof mapped === 'number') throw new Error('not mapped');
    this.pinned = pinned;
    this.mapped = mapped;
    return 0;
  }

  *giveAway(): Task {
    this.mapped?.release();
    if (this.pinned !== null) yield* this.pinned.release();
  }

  /** A work item that is never owned, and takes its time. */
  queueForgotten(): void {
    const { world } = this.device;
    this.work
      .work('polish', function* () {
        yield* world.sleep(1_000_000);
      })
      .queue();
  }
}

function shelf() {
  const bed = testDevice(ShelfDriver, { hardware: Shelf });
  const address = bed.world.settle(bed.process.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  return { bed, address };
}

function message(run: () => void): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

describe('the matchers', () => {
  it('know whether a page is pinned, how often, and by whom', () => {
    const { bed, address } = shelf();
    expect(bed.page(address)).not.toBePinned();
    bed.run(bed.driver.keep(bed.process.mm, address));
    expect(bed.page(address + 100)).toBePinned();
    expect(bed.page(address)).toBePinned(1);
    const complaint = message(() => {
      expect(bed.page(address)).toBePinned(2);
    });
    expect(complaint).toMatch(
      /Expected the page at 0x[0-9a-f]+ to be pinned 2 times; it is pinned 1 time:\nframe \d+:\n {2}pinned by dev0/,
    );
    expect(complaint).toContain('matchers.test.ts');
    expect(
      message(() => {
        expectThat(bed.page(address)).not.toBePinned();
      }),
    ).toContain('not to be pinned');
    bed.run(bed.driver.giveAway());
    expect(bed.page(address)).not.toBePinned();
    expect(bed.page(0x1000).holders()).toBe('nothing is mapped at 0x1000');
    bed.close();
  });

  it('count the mappings of the device', () => {
    const { bed, address } = shelf();
    expect(bed).toHaveMappings(0);
    bed.run(bed.driver.keep(bed.process.mm, address));
    expect(bed).toHaveMappings(1);
    expect(
      message(() => {
        expectThat(bed).toHaveMappings(0);
      }),
    ).toMatch(/Expected dev0 to have 0 DMA mappings; it has 1:\n {2}4096 bytes at 0x/);
    bed.run(bed.driver.giveAway());
    expect(bed).toBeInState('bound');
    bed.unplug();
    expect(bed).toBeInState('gone');
    expect(
      message(() => {
        expectThat(bed).toBeInState('bound');
      }),
    ).toBe('Expected dev0 to be bound; it is gone.');
    expect(bed).toHaveNoLeaks();
  });

  it('say what was left behind, with its age and who made it', () => {
    const { bed, address } = shelf();
    bed.run(bed.driver.keep(bed.process.mm, address));
    bed.advance('3us');
    const complaint = message(() => {
      expect(bed).toHaveNoLeaks();
    });
    expect(complaint).toMatch(/^Expected nothing to be left behind, but there is:\n/);
    expect(complaint).toContain('DMA_MAPPING_LEAK');
    expect(complaint).toContain('PIN_LEAK');
    expect(complaint).toContain('matchers.test.ts');
  });

  it('find a work item that outlives its driver (DEVICE_WORK_LEAK), and make planted findings expected', () => {
    const { bed } = shelf();
    bed.driver.queueForgotten();
    bed.advance('2us');
    bed.unplug();
    expect(bed).toHaveFound('DEVICE_WORK_LEAK');
    const [leak] = bed.findings;
    expect([leak.summary, leak.details]).toEqual([
      'dev0: work item dev0: polish is still queued or running',
      ['since 0 ns, for 2 µs'],
    ]);
    expect(leak.sites).toEqual([
      { what: 'queued', site: expect.stringMatching(/matchers\.test\.ts/) as string, atNs: 0 },
    ]);
    expect(
      message(() => {
        expectThat(bed).toHaveFound('PIN_LEAK');
      }),
    ).toMatch(/Expected PIN_LEAK to be found; found is:\nDEVICE_WORK_LEAK/);
    bed.close();
  });

  it('know failures by number, name and code', () => {
    expect(-ENOMEM).toHaveFailedWith(ENOMEM);
    expect(-ENOMEM).toHaveFailedWith('ENOMEM');
    expect(12).not.toHaveFailedWith('ENOMEM');
    const error = new PincushionError('DRIVER_PROBE_FAILED', 'no', { errno: EFAULT });
    expect(error).toHaveFailedWith('DRIVER_PROBE_FAILED');
    expect(() => {
      throw error;
    }).toHaveFailedWith(-EFAULT);
    expect(
      message(() => {
        expectThat(0).toHaveFailedWith('ENOMEM');
      }),
    ).toBe('Expected a failure with ENOMEM; got 0.');
    expect(
      message(() => {
        expectThat('x').toHaveFailedWith('ENOMEM');
      }),
    ).toContain('got string x');
  });

  it('refuse what they are not about', () => {
    expect(() => {
      expectThat(3).toBePinned();
    }).toThrow('toBePinned is about a page: bed.page(address), not about number');
    expect(() => {
      expectThat(null).toHaveNoLeaks();
    }).toThrow(TypeError);
    expect(new World()).toHaveNoLeaks();
    expect(
      message(() => {
        expectThat(new World()).not.toHaveNoLeaks();
      }),
    ).toContain('nothing is');
  });
});
