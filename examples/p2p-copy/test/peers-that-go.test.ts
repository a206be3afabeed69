/** Two SSDs, the second with a controller memory buffer: direct I/O of the first into it, and what becomes of it when one goes. */
import type { MachineInput } from '@pincushion/machine';
import { Machine, O_CREAT, O_DIRECT, parseMachine } from '@pincushion/machine';
import { MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE, assertMemorySane } from '@pincushion/mm';
import { plugin } from '@pincushion/nvme-p2p';
import type { MaySleep, Task } from '@pincushion/sim';
import { EFAULT, EIO, ENODEV, ENOENT, EREMOTEIO, World } from '@pincushion/sim';
import { leakCheck } from '@pincushion/testing';

type Mounts = NonNullable<MachineInput['mounts']>;

const RW = PROT_READ | PROT_WRITE;
const ALLOCATE = '/sys/bus/pci/devices/nvme1/p2pmem/allocate';
const BYTES = 16 * PAGE_SIZE;

const SWITCH = {
  name: 'sw0',
  ports: [{ name: 'p0' }, { name: 'p1' }, { name: 'p2', acs: ['request-redirect' as const] }],
};
const PCI = {
  rootComplexes: [
    { name: 'rc0', ports: [{ name: 'rp0', switch: SWITCH }] },
    { name: 'rc1', hostBridge: '1234:5678', ports: [{ name: 'rp1' }] },
  ],
};

/** nvme0 at p0, and nvme1, which has the memory, at `port`. */
function boot(port = 'p1', model: object = { cmb: '1MiB' }, clientModel: object = {}, mounts: Mounts = []) {
  const world = new World({ seed: 1 });
  const ssd = (name: string, at: string, settings: object): object => ({
    name,
    plugin: plugin.name,
    port: at,
    model: { serial: name, namespaces: [{ capacity: '16MiB' }], ...settings },
  });
  const devices = [ssd('nvme0', 'p0', clientModel), ssd('nvme1', port, model)];
  const description = parseMachine({ memory: { ram: '128MiB' }, ledger: 'full', pci: PCI, devices, mounts }, 'test');
  const machine = world.complete(Machine.boot(world, description, { plugins: [plugin] }));
  const run = (result: MaySleep): number => (typeof result === 'number' ? result : world.complete(result));
  const process = machine.process('prog');
  return {
    world,
    machine,
    process,
    run,
    /** Maps `BYTES` of the buffer of nvme1. */
    map: (): number => {
      const fd = world.complete(process.open(ALLOCATE));
      return fd < 0 ? fd : run(process.mmapFile(fd, BYTES, RW, MAP_SHARED));
    },
    available: (): number | undefined => machine.device('nvme1').pciFunction.p2p?.availableBytes,
    end: (): void => {
      world.complete(machine.shutdown());
      leakCheck(world);
    },
  };
}

type Bed = ReturnType<typeof boot>;
type Device = ReturnType<Machine['device']>;

/** Starts an I/O of nvme0 on the mapping, and lets it come as far as the controller. */
function inFlight({ world, process, machine }: Bed, address: number, isWrite = false): { result: number | null } {
  const state: { result: number | null } = { result: null };
  const fd = world.complete(process.open('/dev/nvme0n1'));
  world.spawn(
    (function* (): Task {
      state.result = isWrite
        ? yield* process.pwrite(fd, address, BYTES, 0)
        : yield* process.pread(fd, address, BYTES, 0);
    })(),
    { name: 'I/O' },
  );
  world.run({ until: () => machine.disk('nvme0n1').inFlight > 0 });
  world.run({ untilNs: world.now + 1000 });
  expect(state.result).toBeNull();
  return state;
}

/** Starts a removal and lets it come as far as it gets at once. */
function removing({ world }: Bed, device: Device, why: Parameters<Device['remove']>[0]): void {
  world.spawn(device.remove(why), { name: `removal of ${device.path}` });
  world.run({ untilNs: world.now + 1 });
}

describe('the controller memory buffer as peer-to-peer memory (nvme_map_cmb)', () => {
  it('is offered by a controller that has one, all of it, and noted', () => {
    const { machine, available, end } = boot();
    expect(available()).toBe(2 ** 20);
    const nvme1 = machine.device('nvme1');
    expect(nvme1.pciFunction.p2p?.published).toBe(true);
    expect(nvme1.log.map(({ text }) => text)).toContain('added 1 MiB of peer-to-peer memory');
    end();
  });

  it('is not there when the controller has none', () => {
    const { map, machine, end } = boot('p1', {});
    expect(map()).toBe(-ENOENT);
    expect(machine.device('nvme1').pciFunction.bars[2]).toBeNull();
    end();
  });

  it('is still there after the controller was reset', () => {
    const bed = boot();
    const { world, machine, process, map, end } = bed;
    const address = map();
    const { driver } = machine.device('nvme1');
    if (driver === null) throw new Error('no driver');
    world.complete(driver.reset());
    for (const disk of ['nvme0n1', 'nvme1n1']) {
      const fd = world.complete(process.open(`/dev/${disk}`));
      expect(world.complete(process.pwrite(fd, address, BYTES, 0))).toBe(BYTES);
      expect(world.complete(process.pread(fd, address, BYTES, 0))).toBe(BYTES);
    }
    end();
  });

  it('is refused as a buffer of an SSD below another root complex: EREMOTEIO, and nothing stays pinned', () => {
    const { world, process, map, available, machine, end } = boot('rp1');
    const address = map();
    const fd = world.complete(process.open('/dev/nvme0n1'));
    expect(world.complete(process.pread(fd, address, BYTES, 0))).toBe(-EREMOTEIO);
    expect(world.complete(process.pwrite(fd, address, BYTES, 0))).toBe(-EREMOTEIO);
    expect(machine.memory.ledger.livePins()).toEqual([]);
    world.complete(process.exit());
    expect(available()).toBe(2 ** 20);
    end();
  });
});

describe('direct I/O on a file (bio_iov_iter_get_pages)', () => {
  it('reads into and writes from memory of another SSD as on a raw disk', () => {
    const { world, process, run, map, machine, end } = boot('p1', { cmb: '1MiB' }, {}, [
      { device: 'nvme0n1', at: '/mnt' },
    ]);
    const address = map();
    const fd = world.complete(process.open('/mnt/file', O_CREAT | O_DIRECT));
    run(process.write(address, new Uint8Array(BYTES).fill(7)));
    expect(world.complete(process.pwrite(fd, address, BYTES, 0))).toBe(BYTES);
    run(process.write(address, new Uint8Array(BYTES)));
    expect(world.complete(process.pread(fd, address, BYTES, 0))).toBe(BYTES);
    const seen = new Uint8Array(1);
    run(process.read(address + BYTES - 1, seen));
    expect(seen[0]).toBe(7);
    assertMemorySane(machine.memory);
    world.complete(process.close(fd));
    end();
  });

  it('is not needed for a write through the page cache: the CPU copies, and pins nothing', () => {
    const { world, process, run, map, end } = boot();
    const address = map();
    const fd = process.memfdCreate('file');
    expect(world.complete(process.ftruncate(fd, BYTES))).toBe(0);
    run(process.write(address, Uint8Array.of(9)));
    expect(world.complete(process.pwrite(fd, address, BYTES, 0))).toBe(BYTES);
    end();
  });
});

describe.each([
  ['below the same switch', 'p1'],
  ['through the host bridge', 'p2'],
])('a transfer in flight between SSDs %s', (_, port) => {
  it('ends as if nothing were when the provider is unbound: its page stays until then, and the removal waits', () => {
    // Slow enough for the provider's controller to be shut down meanwhile.
    const bed = boot(port, { cmb: '1MiB' }, { latency: { readNs: 5_000_000 } });
    const { world, machine, process, run, map, available, end } = bed;
    const address = map();
    const io = inFlight(bed, address);
    const nvme1 = machine.device('nvme1');
    removing(bed, nvme1, 'driver-unbind');
    world.run({ until: () => run(process.read(address, new Uint8Array(1))) < 0 });
    expect(io.result).toBeNull();
    expect(available()).toBe(2 ** 20 - BYTES);
    expect(nvme1.state).toBe('removing');
    assertMemorySane(machine.memory);
    world.run();
    expect(io.result).toBe(BYTES);
    expect(nvme1.state).toBe('unbound');
    end();
  });

  it.each([
    ['reads', false],
    ['writes', true],
  ])(
    'ends with EIO when the provider is pulled out, whether it %s; then the pages go and the removal ends',
    (_what, isWrite) => {
      const bed = boot(port);
      const { world, machine, process, run, map, end } = bed;
      const address = map();
      const io = inFlight(bed, address, isWrite);
      const nvme1 = machine.device('nvme1');
      removing(bed, nvme1, 'surprise');
      expect(nvme1.state).toBe('removing');
      world.run();
      expect(io.result).toBe(-EIO);
      expect(nvme1.state).toBe('gone');
      expect(machine.memory.devicePages).toEqual([]);
      expect(run(process.read(address, new Uint8Array(1)))).toBe(-EFAULT);
      end();
    },
  );

  it('ends with an error when the client is pulled out, and the pages come back to the provider', () => {
    const bed = boot(port);
    const { world, machine, process, map, available, end } = bed;
    const address = map();
    const io = inFlight(bed, address);
    removing(bed, machine.device('nvme0'), 'surprise');
    world.run();
    expect([-EIO, -ENODEV]).toContain(io.result);
    expect(available()).toBe(2 ** 20 - BYTES);
    expect(machine.memory.ledger.livePins()).toEqual([]);
    world.complete(process.exit());
    expect(available()).toBe(2 ** 20);
    end();
  });

  it('outlives the mapping and the program: the pages go back when the SSD has let go', () => {
    const bed = boot(port);
    const { world, process, run, map, available, machine, end } = bed;
    const address = map();
    const io = inFlight(bed, address);
    expect(run(process.munmap(address, BYTES))).toBe(0);
    expect(available()).toBe(2 ** 20 - BYTES);
    assertMemorySane(machine.memory);
    world.run();
    expect(io.result).toBe(BYTES);
    expect(available()).toBe(2 ** 20);
    end();
  });
});

describe('a provider pulled out at any time of a transfer', () => {
  it('leaves no page in use, no finding, and an I/O that has ended, well or with EIO', () => {
    const results = new Set<number | null>();
    for (let ns = 0; ns < 120_000; ns += 3_000) {
      const bed = boot(ns % 2000 === 0 ? 'p1' : 'p2');
      const { world, machine, map, end } = bed;
      const io = inFlight(bed, map());
      world.run({ untilNs: world.now + ns });
      removing(bed, machine.device('nvme1'), 'surprise');
      world.run();
      results.add(io.result);
      expect(machine.memory.devicePages).toEqual([]);
      end();
    }
    expect(results).toEqual(new Set([-EIO, BYTES]));
  }, 60_000);
});
