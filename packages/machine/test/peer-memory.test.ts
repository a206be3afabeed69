import type { PeerBuffer } from '@pincushion/driver';
import {
  EBUSY,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOMEM,
  EREMOTEIO,
  FOLL_LONGTERM,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  definePlugin,
  newPinnedPages,
} from '@pincushion/driver';
import type { MachineInput, Process } from '@pincushion/machine';
import { Machine, parseMachine } from '@pincushion/machine';
import { FOLL_PCI_P2PDMA, assertMemorySane } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { World, armPoint, disarmPoint } from '@pincushion/sim';
import { leakCheck, verifyDriver } from '@pincushion/testing';
import { MemoryCard, MemoryCardHardware } from './memory-card';
import { RamDiskDriver, RamDiskHardware } from './ram-disk';

const MAP_FIXED = 0x10;
const RW = PROT_READ | PROT_WRITE;
const plugin = definePlugin({
  name: 'peers',
  api: 1,
  drivers: [MemoryCard, RamDiskDriver],
  hardware: [MemoryCardHardware, RamDiskHardware],
});

/** One root complex with a switch of three ports, the last with ACS, and a second root port; one that nobody knows. */
const PCI = {
  rootComplexes: [
    {
      name: 'rc0',
      ports: [
        {
          name: 'rp0',
          switch: {
            name: 'sw0',
            ports: [{ name: 'p0' }, { name: 'p1' }, { name: 'p2', acs: ['request-redirect' as const] }],
          },
        },
        { name: 'rp1' },
      ],
    },
    { name: 'rc1', hostBridge: '1234:5678', ports: [{ name: 'rp2' }] },
  ],
};

/** A card at p0 and a disk at `port`, and a program. */
function boot(port: string, options: MachineInput & { peers?: boolean; memory?: object } = {}) {
  const { peers = true, ...rest } = options;
  const world = new World({ seed: 1 });
  const description = parseMachine(
    {
      ...rest,
      memory: { ram: '64MiB', ...rest.memory },
      ledger: 'full',
      pci: PCI,
      devices: [
        { name: 'card0', hardware: 'memory-card', port: 'p0' },
        { name: 'disk0', hardware: 'ram-disk', port, model: { latencyNs: 5000 }, config: { peers } },
      ],
    },
    'test',
  );
  const machine = world.complete(Machine.boot(world, description, { plugins: [plugin] }));
  const run = (result: MaySleep): number => (typeof result === 'number' ? result : world.complete(result));
  const process = machine.process('prog');
  const card = machine.device('card0');
  const { hardware } = card;
  if (!(hardware instanceof MemoryCardHardware)) throw new Error('another card');
  return {
    world,
    machine,
    run,
    process,
    card,
    driver: card.driver as MemoryCard,
    hardware,
    codes: () => world.findings.all.map(({ code }) => code),
    /** A mapping of pages of the card in a process: the address, or -errno. */
    map: (pages: number, of: Process = process, flags = MAP_SHARED, offset = 0): number => {
      const fd = world.complete(of.open(ALLOCATE));
      if (fd < 0) return fd;
      const address = run(of.mmapFile(fd, pages * PAGE_SIZE, RW, flags, offset));
      world.complete(of.close(fd));
      return address;
    },
    end: (expected: readonly string[] = []): void => {
      world.complete(machine.shutdown());
      leakCheck(world, expected);
    },
  };
}

const ALLOCATE = '/sys/bus/pci/devices/card0/p2pmem/allocate';

function firstByte(world: World, process: Process, address: number): number {
  const into = new Uint8Array(1);
  const r = process.read(address, into);
  const n = typeof r === 'number' ? r : world.complete(r);
  return n === 1 ? into[0] : n;
}

describe('memory of a device in a program (p2pmem/allocate, PP-01)', () => {
  it('is the memory of the device: a store shows there, and a load sees what the device has', () => {
    const { map, run, process, hardware, world, end, machine } = boot('p1');
    const address = map(2);
    expect(run(process.write(address + 3, Uint8Array.of(77)))).toBe(1);
    expect(hardware.byteAt(3)).toBe(77);
    hardware.fill(9);
    expect(firstByte(world, process, address + PAGE_SIZE)).toBe(9);
    assertMemorySane(machine.memory);
    end();
  });

  it('must be mapped shared and from the beginning; the pool ends, and comes back with the mapping', () => {
    const { map, run, process, driver, end } = boot('p1');
    expect(map(1, process, MAP_PRIVATE)).toBe(-EINVAL);
    expect(map(1, process, MAP_SHARED, PAGE_SIZE)).toBe(-EINVAL);
    const all = map(256);
    expect(driver.resource?.availableBytes).toBe(0);
    expect(map(1)).toBe(-ENOMEM);
    expect(run(process.munmap(all, PAGE_SIZE))).toBe(0);
    expect(driver.resource?.availableBytes).toBe(PAGE_SIZE);
    expect(map(1)).toBeGreaterThan(0);
    end();
  });

  it('has what was there before: nobody zeroes the memory of a device when its pages change hands', () => {
    const { map, run, process, world, end } = boot('p1');
    const first = map(1);
    run(process.write(first, Uint8Array.of(42)));
    run(process.munmap(first, PAGE_SIZE));
    expect(firstByte(world, process, map(1))).toBe(42);
    end();
  });

  it('does not exist on kernels before 6.2', () => {
    const { map, end } = boot('p1', { kernel: '6.1' });
    expect(map(1)).toBe(-ENOENT);
    end();
  });

  it('is pinned with FOLL_PCI_P2PDMA only, and never for long (R-06, F-05, section 12)', () => {
    const { map, run, process, machine, end } = boot('p1');
    const address = map(1);
    const { gup } = machine.memory;
    const owner = machine.memory.ledger.owner('test');
    const pins = newPinnedPages(1);
    const pin = (flags: number): number => run(gup.pinUserPages(process.mm, address, 1, flags, pins, 0, owner));
    const pinFast = (flags: number): number => run(gup.pinUserPagesFast(process.mm, address, 1, flags, pins, 0, owner));
    expect(pin(FOLL_WRITE)).toBe(-EREMOTEIO);
    expect(pinFast(FOLL_WRITE)).toBe(-EREMOTEIO);
    expect(pin(FOLL_WRITE | FOLL_LONGTERM)).toBe(-EREMOTEIO);
    expect(pin(FOLL_WRITE | FOLL_LONGTERM | FOLL_PCI_P2PDMA)).toBe(0);
    expect(pinFast(FOLL_WRITE | FOLL_LONGTERM | FOLL_PCI_P2PDMA)).toBe(-EINVAL);
    for (const grab of [pin, pinFast]) {
      expect(grab(FOLL_WRITE | FOLL_PCI_P2PDMA)).toBe(1);
      gup.unpinUserPages(pins, 0, 1);
    }
    end(['GUP_BAD_FLAGS']);
  });

  it('is shared with a child; the page goes back with the last of both (fork copies no page)', () => {
    const { map, run, process, world, driver, machine, end } = boot('p1');
    const address = map(1);
    const child = process.fork('child');
    if (typeof child === 'number') throw new Error('no child');
    run(process.write(address, Uint8Array.of(5)));
    expect(firstByte(world, child, address)).toBe(5);
    world.complete(process.exit());
    expect(driver.resource?.availableBytes).toBe(255 * PAGE_SIZE);
    run(child.write(address, Uint8Array.of(6)));
    assertMemorySane(machine.memory);
    world.complete(child.exit());
    expect(driver.resource?.availableBytes).toBe(256 * PAGE_SIZE);
    end();
  });

  it('does not come back once it was dropped: there is nobody to fault it in', () => {
    const { map, run, process, world, end } = boot('p1');
    const address = map(2);
    const MADV_DONTNEED = 4;
    expect(run(process.madvise(address, PAGE_SIZE, MADV_DONTNEED))).toBe(0);
    expect(firstByte(world, process, address)).toBe(-EFAULT);
    expect(firstByte(world, process, address + PAGE_SIZE)).toBe(0);
    end();
  });
});

describe('direct I/O into memory of another device (B-02)', () => {
  it.each([
    ['below the same switch', 'p1'],
    ['with ACS between, through the host bridge', 'p2'],
    ['from another root port', 'rp1'],
  ])('moves the data there and back, and touches no host page (%s)', (_, port) => {
    const { map, process, world, hardware, machine, end } = boot(port);
    const address = map(2);
    hardware.fill(0x5a);
    const fd = world.complete(process.open('/dev/disk0n1'));
    expect(world.complete(process.pwrite(fd, address, 2 * PAGE_SIZE, 0))).toBe(2 * PAGE_SIZE);
    hardware.fill(0);
    expect(world.complete(process.pread(fd, address + PAGE_SIZE, 512, 512))).toBe(512);
    expect(hardware.byteAt(PAGE_SIZE + 511)).toBe(0x5a);
    expect(hardware.byteAt(PAGE_SIZE + 512)).toBe(0);
    assertMemorySane(machine.memory);
    end();
  });

  it('is -EREMOTEIO where the root complex is not known to pass it on, and where the disk takes no such memory', () => {
    for (const { map, process, world, end, driver } of [boot('rp2'), boot('p1', { peers: false })]) {
      const address = map(1);
      const fd = world.complete(process.open('/dev/disk0n1'));
      expect(world.complete(process.pread(fd, address, 512, 0))).toBe(-EREMOTEIO);
      world.complete(process.close(fd));
      expect(driver.resource?.availableBytes).toBe(255 * PAGE_SIZE);
      end();
    }
  });

  it('takes a buffer of both kinds, each bio of one', () => {
    const { run, process, world, card, hardware, end } = boot('p1');
    const host = run(process.mmap(2 * PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS));
    const backing = card.pciFunction.p2p?.newMapping();
    expect(run(process.mmap(PAGE_SIZE, RW, MAP_SHARED | MAP_FIXED, host + PAGE_SIZE, backing))).toBe(host + PAGE_SIZE);
    run(process.write(host, new Uint8Array(PAGE_SIZE).fill(1)));
    hardware.fill(2);
    const disk = world.complete(process.open('/dev/disk0n1'));
    expect(world.complete(process.pwrite(disk, host, 2 * PAGE_SIZE, 0))).toBe(2 * PAGE_SIZE);
    run(process.write(host, new Uint8Array(PAGE_SIZE)));
    hardware.fill(0);
    expect(world.complete(process.pread(disk, host, 2 * PAGE_SIZE, 0))).toBe(2 * PAGE_SIZE);
    expect([firstByte(world, process, host), hardware.byteAt(0)]).toEqual([1, 2]);
    end();
  });
});

/** Starts a read into the card's memory and lets it come as far as the hardware. */
function readInFlight(bed: ReturnType<typeof boot>, address: number): { result: number | null } {
  const { process, world } = bed;
  const state: { result: number | null } = { result: null };
  const fd = world.complete(process.open('/dev/disk0n1'));
  world.spawn(
    (function* (): Task {
      state.result = yield* process.pread(fd, address, PAGE_SIZE, 0);
    })(),
    { name: 'reader' },
  );
  world.run({ untilNs: world.now + 1000 });
  expect(state.result).toBeNull();
  return state;
}

describe('a provider that goes while memory of it is in use (PP-02)', () => {
  it('takes the pages from programs, and waits for the transfer that is in flight, whose page stays until its end', () => {
    const bed = boot('p1');
    const { map, process, world, card, driver, machine, codes, end } = bed;
    const address = map(1);
    const read = readInFlight(bed, address);
    const { resource } = driver;
    world.spawn(card.remove('driver-unbind'), { name: 'unbind' });
    world.run({ untilNs: world.now + 100 });
    expect(card.state).toBe('removing');
    expect(firstByte(world, process, address)).toBe(-EFAULT); // revoked
    expect(resource?.availableBytes).toBe(255 * PAGE_SIZE); // and kept by the pin
    assertMemorySane(machine.memory);
    world.run();
    expect(read.result).toBe(PAGE_SIZE);
    expect(card.state).toBe('unbound');
    expect(machine.memory.devicePages).toEqual([]);
    expect(codes()).toEqual([]);
    end();
  });

  it.each([
    ['below a switch', 'p1'],
    ['through the host bridge', 'p2'],
  ])('pulled out under a transfer, ends it with an error; then the page goes, and the removal ends (%s)', (_, port) => {
    const bed = boot(port);
    const { map, process, world, card, machine, codes, end } = bed;
    const address = map(1);
    const read = readInFlight(bed, address);
    world.spawn(card.remove('surprise'), { name: 'pull out' });
    world.run({ untilNs: world.now + 100 });
    expect(card.state).toBe('removing');
    world.run();
    expect(read.result).toBe(-EIO);
    expect(card.state).toBe('gone');
    expect(firstByte(world, process, address)).toBe(-EFAULT);
    expect(machine.memory.devicePages).toEqual([]);
    expect(codes()).toEqual([]);
    end();
  });

  it('reads as ones between being pulled out and being taken from the program', () => {
    const { map, run, process, world, card, end } = boot('p1');
    const address = map(1);
    run(process.write(address, Uint8Array.of(1)));
    card.services?.cutOff();
    expect(firstByte(world, process, address)).toBe(0xff);
    end();
  });

  it('answers ENODEV to who still has its file open', () => {
    const { process, run, world, card, map, end } = boot('p1');
    const fd = world.complete(process.open(ALLOCATE));
    world.complete(card.remove('driver-unbind'));
    expect(run(process.mmapFile(fd, PAGE_SIZE, RW, MAP_SHARED))).toBe(-ENODEV);
    expect(map(1)).toBe(-ENOENT);
    world.complete(process.close(fd));
    end();
  });

  it('waits for a run of pages that a driver has taken', () => {
    const { world, card, driver, codes, end } = boot('p1');
    const taken = driver.peers.alloc(3 * PAGE_SIZE - 1);
    expect(taken?.bytes).toBe(3 * PAGE_SIZE);
    world.spawn(card.remove('driver-unbind'), { name: 'unbind' });
    world.run({ untilNs: world.now + 1e6 });
    expect(card.state).toBe('removing');
    expect(driver.peers.alloc(1)).toBeNull();
    taken?.release();
    world.run();
    expect(card.state).toBe('unbound');
    expect(codes()).toEqual([]);
    end();
  });

  it('whose pages are given back while a device has them mapped is a finding (full ledger)', () => {
    const { machine, driver, codes } = boot('p1');
    const taken = driver.peers.alloc(PAGE_SIZE);
    const { domain } = machine.device('disk0');
    const address = domain.mapPages(taken?.pages ?? new Int32Array(1), 0, 1, 0, PAGE_SIZE, 2);
    expect(address).toBeGreaterThan(0);
    taken?.release();
    expect(codes()).toEqual(['UNPINNED_WHILE_MAPPED']);
    domain.unmapPages(address, PAGE_SIZE, 2);
  });
});

describe('pages that are revoked in the middle of a fast pin (Q-03)', () => {
  it('are pinned and stay until unpinned, or are not pinned, at every point of the walk', () => {
    const outcomes = new Set<number>();
    for (let countdown = 1; countdown <= 8; countdown++) {
      const { map, run, process, machine, card, end } = boot('p1');
      const address = map(4);
      const { memory } = machine;
      const { p2p } = card.pciFunction;
      const pins = newPinnedPages(4);
      let isRevoked = false;
      const revoke = (): undefined => {
        isRevoked = true;
        p2p?.revoke();
      };
      armPoint({ countdown, onFire: revoke });
      const owner = memory.ledger.owner('test');
      const flags = FOLL_WRITE | FOLL_PCI_P2PDMA;
      const pinned = run(memory.gup.pinUserPagesFast(process.mm, address, 4, flags, pins, 0, owner));
      disarmPoint();
      expect(isRevoked).toBe(true);
      outcomes.add(pinned);
      const held = Math.max(0, pinned);
      // What is pinned is in nobody's hands but the pin's; everything else is back in the pool.
      expect(p2p?.availableBytes).toBe((256 - held) * PAGE_SIZE);
      assertMemorySane(memory);
      memory.gup.unpinUserPages(pins, 0, held);
      expect(p2p?.availableBytes).toBe(256 * PAGE_SIZE);
      end();
    }
    expect(outcomes).toEqual(new Set([-EFAULT, 1, 2, 3]));
  });
});

describe('a driver that looks for memory of others (pci_p2pmem_find_many)', () => {
  /** Cards at ports, each with its name; those in `hidden` do not publish. */
  function cards(ports: readonly string[], hidden: readonly string[] = [], seed = 1) {
    const world = new World({ seed });
    const devices = ports.map((port) => ({
      name: `at-${port}`,
      hardware: 'memory-card',
      port,
      config: { published: !hidden.includes(port) },
    }));
    const description = parseMachine({ memory: { ram: '64MiB' }, pci: PCI, devices }, 'test');
    const machine = world.complete(Machine.boot(world, description, { plugins: [plugin] }));
    const at = (port: string): MemoryCard => machine.device(`at-${port}`).driver as MemoryCard;
    return { world, machine, at };
  }

  it('finds the nearest, its own first, and passes by what is not published', () => {
    expect(cards(['p0', 'p1', 'rp1']).at('p0').peers.find()).toMatchObject({ device: 'at-p0', hops: 0 });
    expect(cards(['p0', 'p1', 'rp1'], ['p0']).at('p0').peers.find()).toMatchObject({ device: 'at-p1', hops: 4 });
    expect(cards(['p0', 'p1', 'rp1'], ['p0', 'p1']).at('p0').peers.find()).toMatchObject({ device: 'at-rp1', hops: 6 });
  });

  it('finds the nearest also when farther ones were plugged in before', () => {
    for (let seed = 0; seed < 8; seed++) {
      const { peers } = cards(['rp1', 'p1', 'p0'], ['p0'], seed).at('p0');
      expect(peers.find()).toMatchObject({ device: 'at-p1', hops: 4 });
    }
  });

  it('finds nothing that one of the clients cannot reach', () => {
    const { machine, at } = cards(['p0', 'rp1', 'rp2'], ['rp2']);
    expect(at('p0').peers.find([machine.device('at-rp1')])?.hops).toBe(6);
    expect(at('p0').peers.find([machine.device('at-rp2')])).toBeNull();
  });

  it('takes one of several that are equally near by chance, which follows the seed', () => {
    const chosen = (seed: number): string | undefined =>
      cards(['p0', 'p1', 'p2'], ['p0'], seed).at('p0').peers.find()?.device;
    const seeds = Array.from({ length: 16 }, (_, seed) => seed);
    expect(new Set(seeds.map(chosen))).toEqual(new Set(['at-p1', 'at-p2']));
    expect(chosen(3)).toBe(chosen(3));
  });

  it('gets pages in a row, until there are none', () => {
    const provider = cards(['p0', 'p1'], ['p0']).at('p0').peers.find();
    const half: PeerBuffer | null = provider?.alloc(512 * 1024) ?? null;
    expect(half?.pages[127]).toBe((half?.pages[0] ?? 0) + 127);
    expect(provider?.alloc(600 * 1024)).toBeNull();
    expect(provider?.alloc(512 * 1024)).not.toBeNull();
    half?.release();
    expect(provider?.alloc(512 * 1024)?.pages[0]).toBe(half?.pages[0]);
  });
});

describe('the check of all references', () => {
  it('covers pages of devices: a reference that nobody explains, and a count that is too high, are found', () => {
    const { map, card, machine } = boot('p1');
    map(1);
    const { frames } = machine.memory;
    const pfn = card.pciFunction.bars[2]?.memory?.firstFrame ?? 0;
    assertMemorySane(machine.memory);
    frames.refcount[pfn]++;
    expect(() => {
      assertMemorySane(machine.memory);
    }).toThrow(/MEMORY_INVALID: .*2 references/);
    frames.refcount[pfn]--;
    frames.mapcount[pfn]++;
    expect(() => {
      assertMemorySane(machine.memory);
    }).toThrow(/MEMORY_INVALID: .*mapcount 2, and 1 entries map it/);
  });
});

describe('offering memory', () => {
  it('needs pages of a memory BAR, and is done once', () => {
    const { driver, end } = boot('p1');
    expect(driver.peers.add(0)).toBe(-EINVAL);
    expect(driver.peers.add(1)).toBe(-EINVAL);
    expect(driver.peers.add(2, 100)).toBe(-EINVAL);
    expect(driver.peers.add(2, 0, 2 ** 20 + PAGE_SIZE)).toBe(-EINVAL);
    expect(driver.peers.add(2)).toBe(-EBUSY);
    end();
  });

  it('is done by a driver that passes the suite of every driver, with room for the memory of its hardware', () => {
    expect(verifyDriver(MemoryCard, { hardware: MemoryCardHardware }).problems).toEqual([]);
  });
});
