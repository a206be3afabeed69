import { Machine, parseMachine } from '@pincushion/machine';
import { leakCheck } from '@pincushion/testing';
import { HUGETLB_2M_ORDER } from '@pincushion/mm';
import { UsageError, World } from '@pincushion/sim';
import type { MachineInput } from '@pincushion/machine';
import { Driver, PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, driver } from '@pincushion/driver';
import type { Plugin, RemoveReason, Task } from '@pincushion/driver';
import { z } from 'zod';
import { RamDiskHardware, plugin } from './ram-disk';

const DISK = { name: 'ram0', plugin: 'ram' };

function boot(
  world: World,
  input: MachineInput,
  options: { name?: string; plugins?: readonly Plugin[] } = {},
): Machine {
  const description = parseMachine({ memory: { ram: '64MiB' }, ledger: 'full', ...input }, 'test.yaml');
  return world.complete(Machine.boot(world, description, { plugins: [plugin], ...options }), 'boot');
}

function firstByte(machine: Machine): number {
  const { hardware } = machine.device('ram0');
  if (!(hardware instanceof RamDiskHardware)) throw new Error('no RAM disk');
  return hardware.content[0];
}

const Logged = z.strictObject({ fail: z.boolean().default(false) });

/** Writes down when it comes and goes. */
@driver({ name: 'logged', api: 1, match: [{ vendor: 0x1234, device: 2 }], config: Logged })
class LoggedDriver extends Driver<typeof Logged> {
  static log: string[] = [];

  override *probe(): Task {
    if (this.config.fail) throw new Error('broken');
    LoggedDriver.log.push(`${this.device.name} comes`);
  }

  override *remove(why: RemoveReason): Task {
    LoggedDriver.log.push(`${this.device.name} goes: ${why}`);
  }
}
const logged: Plugin = { ...plugin, drivers: [LoggedDriver] };

function shutDown(machine: Machine): void {
  machine.world.complete(machine.shutdown(), 'shutdown');
}

describe('a machine', () => {
  it('boots its devices and gives them back at shutdown', () => {
    const world = new World();
    const machine = boot(world, { devices: [DISK, { ...DISK, name: 'ram1' }] });
    expect(machine.devices.map((device) => `${device.name} ${device.state} ${device.driverName}`)).toEqual([
      'ram0 bound ram-disk',
      'ram1 bound ram-disk',
    ]);
    expect(machine.diskNames).toEqual(['ram0n1', 'ram1n1']);
    shutDown(machine);
    expect(machine.devices.map(({ path }) => path)).toEqual([]);
    expect(machine.bus.gone).toEqual(['ram0', 'ram1']);
    expect(machine.nodes.list()).toEqual([]);
    leakCheck(world);
  });

  it('names the known plugins when one is unknown', () => {
    expect(() => boot(new World(), { devices: [{ name: 'a', plugin: 'rma' }] })).toThrow(
      'PLUGIN_UNKNOWN: device a: there is no plugin rma. Expected one of ram; got rma. Try ram.',
    );
  });

  it('wants to know which hardware model when a plugin has several', () => {
    const several = { ...plugin, hardware: [RamDiskHardware, RamDiskHardware] };
    expect(() => boot(new World(), { devices: [DISK] }, { plugins: [several] })).toThrow(
      /MACHINE_INVALID: device ram0: plugin ram has 2 hardware models. Expected hardware: ram-disk or ram-disk/,
    );
    const machine = boot(new World(), { devices: [{ ...DISK, hardware: 'ram-disk' }] }, { plugins: [several] });
    shutDown(machine);
  });

  it('binds the driver of the plugin that the description names, although another one matches too', () => {
    const plugins = [plugin, { ...logged, name: 'second' }];
    const devices = [DISK, { ...DISK, name: 'ram1', plugin: 'second' }];
    const machine = boot(new World(), { devices }, { plugins });
    expect(machine.devices.map((device) => device.driverName)).toEqual(['ram-disk', 'logged']);
    shutDown(machine);
  });

  it('can be shut down twice', () => {
    const machine = boot(new World(), { devices: [DISK] });
    const program = machine.process('leaky');
    machine.world.settle(program.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    shutDown(machine);
    shutDown(machine);
    leakCheck(machine.world);
  });

  it('checks the settings of hardware and driver against their schemas', () => {
    expect(() => boot(new World(), { devices: [{ ...DISK, model: { sectrs: 8 } }] })).toThrow(
      'DRIVER_CONFIG_INVALID: model.sectrs is not known (device ram0). Expected one of sectors, latencyNs; got sectrs. Try sectors.',
    );
    expect(() => boot(new World(), { devices: [{ ...DISK, config: { lbaBytes: 1000 } }] })).toThrow(
      /DRIVER_CONFIG_INVALID: config.lbaBytes .*512 or 4096; got 1000/,
    );
  });

  it('that cannot bring up a device removes the ones before it, newest first, and leaves nothing', () => {
    const world = new World();
    LoggedDriver.log = [];
    const devices = [DISK, { ...DISK, name: 'ram1' }, { ...DISK, name: 'ram2', config: { fail: true } }];
    expect(() => boot(world, { devices }, { plugins: [logged] })).toThrow('DRIVER_PROBE_FAILED');
    expect(LoggedDriver.log).toEqual(['ram0 comes', 'ram1 comes', 'ram1 goes: shutdown', 'ram0 goes: shutdown']);
    leakCheck(world);
  });

  it('says that there is no such device or disk, and which is near', () => {
    const machine = boot(new World(), { devices: [DISK] });
    expect(() => machine.device('ram1')).toThrow(
      'DEVICE_UNKNOWN: machine: there is no device ram1. Expected one of ram0; got ram1. Try ram0.',
    );
    expect(() => machine.disk('ram0')).toThrow(/DEVICE_UNKNOWN.*Try ram0n1/);
    shutDown(machine);
  });

  it('offers further services to drivers through overrides', () => {
    abstract class Radio {
      abstract readonly station: string;
    }
    class Kitchen extends Radio {
      override readonly station = 'here';
    }
    @driver({ name: 'tuned', api: 1, match: [{ vendor: 0x1234, device: 2 }], config: z.strictObject({}) })
    class Tuned extends Driver {
      constructor(readonly radio: Radio) {
        super();
      }

      override *probe(): Task {
        // Nothing to bring up.
      }

      override *remove(): Task {
        // Nothing to stop.
      }
    }
    const world = new World();
    const machine = world.complete(
      Machine.boot(world, parseMachine({ memory: { ram: '8MiB' }, devices: [DISK] }, 'x'), {
        plugins: [{ ...plugin, drivers: [Tuned] }],
        overrides: (wiring) => {
          wiring.provide(Radio, new Kitchen());
        },
      }),
    );
    expect((machine.device('ram0').driver as Tuned).radio.station).toBe('here');
    shutDown(machine);
  });

  it('shows itself as a tree with all defaults', () => {
    const world = new World();
    const machine = boot(world, { iommu: { mode: 'lazy' }, devices: [DISK] });
    expect(machine.tree()).toBe(
      [
        'machine',
        '├─ memory 64 MiB',
        '│  ├─ DMA32 60 MiB',
        '│  ├─ swap none',
        '│  ├─ huge pages none',
        '│  ├─ transparent huge pages 2 MiB madvise',
        '│  └─ tlb exact',
        '├─ cpus 4',
        '├─ kernel 6.18 (recorded)',
        '├─ pin scheme bias',
        '├─ ledger full',
        '├─ iommu lazy, flush 10 ms',
        '└─ devices 1',
        '   └─ ram0',
        '      ├─ hardware ram-disk 1234:0002, 1 interrupt vector',
        '      │  ├─ sectors 64',
        '      │  └─ latencyNs 5 µs',
        '      ├─ driver ram-disk',
        '      │  ├─ lbaBytes 512 B',
        '      │  └─ peers false',
        '      ├─ /dev/ram0n1 disk, 32 KiB',
        '      └─ /dev/ram0-info',
      ].join('\n'),
    );
    world.complete(machine.device('ram0').remove('driver-unbind'));
    expect(machine.tree()).toContain('└─ no driver (unbound)');
    shutDown(machine);
  });

  it('has the swap, CMA, and huge pages that its description asks for, and shows them', () => {
    const memory = { ram: '256MiB', movable: '32MiB', cma: '16MiB', swap: '128MiB', hugetlb: { '2MiB': 8 } };
    const machine = boot(new World(), {
      kernel: '6.1',
      memory: { ...memory, thp: 'always', mthp: { '64KiB': 'madvise' } },
    });
    const tree = machine.tree();
    for (const line of [
      'CMA 16 MiB',
      'Movable 32 MiB',
      'swap 128 MiB',
      'huge pages 8 of 2 MiB',
      '6.1 (partly recorded)',
    ])
      expect(tree).toContain(line);
    expect(tree).toContain('transparent huge pages 2 MiB always, 64 KiB madvise');
    const { memory: m } = machine;
    expect(m.swap.slots).toBe(32768);
    expect(m.hugetlb.get(HUGETLB_2M_ORDER)?.pagesTotal).toBe(8);
    expect([m.thpOrders.always, m.thpOrders.madvise]).toEqual([1 << 9, 1 << 4]);
    shutDown(machine);
  });

  it('has no swap, no pool, and huge pages for areas that ask, unless told otherwise', () => {
    const machine = boot(new World(), {});
    const { memory } = machine;
    expect([memory.swap.slots, memory.hugetlb.get(HUGETLB_2M_ORDER)?.pagesTotal]).toEqual([0, 0]);
    expect([memory.thpOrders.always, memory.thpOrders.madvise]).toEqual([0, 1 << 9]);
    shutDown(machine);
  });

  it('says how many huge pages could be had when those described cannot', () => {
    expect(() => boot(new World(), { memory: { ram: '2GiB', hugetlb: { '1GiB': 1 } } })).not.toThrow();
    // The first GiB begins with reserved frames, so only one page of that size is whole.
    let thrown: unknown;
    try {
      boot(new World(), { memory: { ram: '3GiB', hugetlb: { '1GiB': 2 }, cma: '512MiB' } });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UsageError);
    expect((thrown as Error).message).toMatch(/MEMORY_INVALID: machine: .*huge pages.*got room for 1/);
  });

  it('boots 1 TiB of RAM and 1 TiB of persistent memory', () => {
    const machine = boot(new World(), { memory: { ram: '1TiB', pmem: '1TiB' }, ledger: 'counts' });
    expect(machine.memory.pmemFrames).toBe(2 ** 28);
    shutDown(machine);
  });
});

describe('two machines in one world', () => {
  const fill = function* (machine: Machine, byte: number): Task<number> {
    const process = machine.process('writer');
    const mapped = process.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    const address = typeof mapped === 'number' ? mapped : yield* mapped;
    const written = process.write(address, new Uint8Array(4096).fill(byte));
    if (typeof written !== 'number') yield* written;
    const fd = yield* process.open('/dev/ram0n1');
    return yield* process.pwrite(fd, address, 4096, 0);
  };

  it('share the clock and nothing else', () => {
    const world = new World();
    const left = boot(world, { devices: [DISK] }, { name: 'left' });
    const right = boot(world, { devices: [{ ...DISK, model: { latencyNs: 7000 } }] }, { name: 'right' });
    const threads = [world.spawn(fill(left, 1), { name: 'l' }), world.spawn(fill(right, 2), { name: 'r' })];
    world.run();
    expect(threads.map((thread) => thread.result)).toEqual([4096, 4096]);
    expect(world.now).toBe(7000);
    const contents = [left, right].map((machine) => firstByte(machine));
    expect(contents).toEqual([1, 2]);
    expect([left.interrupts, right.interrupts]).toEqual([1, 1]);
    expect(left.memory.ledger.counters.pinsAcquired).toBe(1);
    expect(right.device('ram0').path).toBe('right/ram0');

    shutDown(left);
    expect(right.device('ram0').state).toBe('bound');
    world.complete(fill(right, 3));
    expect(firstByte(right)).toBe(3);
    shutDown(right);
    leakCheck(world);
  });

  it('run the same in every world with the same seed', () => {
    const run = (seed: number): string => {
      const world = new World({ seed });
      const machine = boot(world, { devices: [DISK] });
      const log: string[] = [];
      world.trace.subscribe((point, a, b, c, d) => {
        log.push(`${world.now} ${point.name} ${a} ${b} ${c} ${d}`);
        return undefined;
      });
      world.complete(fill(machine, 1));
      shutDown(machine);
      return log.join('\n');
    };
    expect(run(1)).toBe(run(1));
    expect(run(1)).toContain('irq:entry');
  });
});
