/** What a program holds outlives its device, and does not keep it alive. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { CharFile, Device, MappedRange, RemoveReason, Task } from '@pincushion/driver';
import {
  CharDevices,
  DeviceWork,
  DmaDirection,
  DmaMapper,
  Driver,
  EFAULT,
  ENODEV,
  FOLL_LONGTERM,
  FOLL_WRITE,
  Gup,
  Interrupts,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  definePlugin,
  driver,
} from '@pincushion/driver';
import type { Process } from '@pincushion/machine';
import { Machine, parseMachine } from '@pincushion/machine';
import { World } from '@pincushion/sim';
import { leakCheck } from '@pincushion/testing';
import { z } from 'zod';
import { RamDiskDriver, RamDiskHardware } from './ram-disk';

const PAGE = 4096;

/** Pins what a program registers, shows it a page, and lets everything it registers refer back to itself. */
@driver({ name: 'holder', api: 1, match: [{ vendor: 0x1234, device: 0x0002 }], config: z.strictObject({}) })
class Holder extends Driver {
  timeouts = 0;

  constructor(
    private readonly gup: Gup,
    private readonly dma: DmaMapper,
    private readonly chars: CharDevices,
    private readonly work: DeviceWork,
    private readonly interrupts: Interrupts,
  ) {
    super();
  }

  override *probe(): Task {
    const page = this.dma.coherent(PAGE, 'shown page');
    if (page === null) throw new Error('no memory');
    this.own(page).bytes.fill(7);
    const late = (): undefined => {
      this.timeouts++;
    };
    this.own(this.work.timer('watchdog', late)).start(5e6);
    this.own(this.work.work('later', late)).queue();
    this.own(this.interrupts.request(0, 'done', late));
    this.own(
      this.chars.register('holder', {
        ioctl: (file, _command, address) => this.register(file, address as number),
        mmap: () => this.dma.mmapCoherent(page),
      }),
    );
  }

  private *register(file: CharFile, address: number): Task<number> {
    const pinned = yield* this.gup.pinRange({ mm: file.mm, address, length: PAGE }, FOLL_WRITE | FOLL_LONGTERM);
    if (typeof pinned === 'number') return pinned;
    const mapped = this.dma.mapRange(this.own(pinned), DmaDirection.bidirectional);
    if (typeof mapped === 'number') return mapped;
    file.state = { driver: this, mapped: this.own(mapped) } satisfies { driver: Holder; mapped: MappedRange };
    return 0;
  }

  override *remove(): Task {
    // Nothing is in flight.
  }
}

const holder = definePlugin({ name: 'holder', api: 1, drivers: [Holder], hardware: [RamDiskHardware] });
const disk = definePlugin({ name: 'disk', api: 1, drivers: [RamDiskDriver], hardware: [RamDiskHardware] });

function boot(ledger: 'counts' | 'full' = 'full'): { world: World; machine: Machine } {
  const world = new World();
  const description = parseMachine(
    {
      memory: { ram: '32MiB' },
      ledger,
      devices: [
        { name: 'hold0', plugin: 'holder' },
        { name: 'ram0', plugin: 'disk' },
      ],
    },
    'a test',
  );
  const machine = world.complete(Machine.boot(world, description, { plugins: [holder, disk] }), 'boot');
  return { world, machine };
}

interface Held {
  readonly fd: number;
  readonly disk: number;
  readonly info: number;
  readonly buffer: number;
  readonly shown: number;
  /** Mapped, and never touched. */
  readonly untouched: number;
}

/** A program that uses everything the two devices have, and lets go of nothing. */
function* use(program: Process): Task<Held> {
  const held = yield* hold(program);
  if ((yield* program.pwrite(held.disk, held.buffer, PAGE, 0)) !== PAGE) throw new Error('not written');
  return held;
}

function* hold(program: Process): Task<Held> {
  const mapped = program.mmap(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const buffer = typeof mapped === 'number' ? mapped : yield* mapped;
  const fd = yield* program.open('/dev/holder');
  if ((yield* program.ioctl(fd, 0, buffer)) !== 0) throw new Error('not registered');
  const shown = yield* mapOf(program, fd);
  const untouched = yield* mapOf(program, fd);
  if ((yield* byteAt(program, shown)) !== 7) throw new Error('the device shows something else');
  const opened = yield* program.open('/dev/ram0n1');
  return { fd, disk: opened, info: yield* program.open('/dev/ram0-info'), buffer, shown, untouched };
}

function* mapOf(program: Process, fd: number): Task<number> {
  const mapped = program.mmapFile(fd, PAGE, PROT_READ, MAP_SHARED);
  return typeof mapped === 'number' ? mapped : yield* mapped;
}

function* byteAt(program: Process, address: number): Task<number> {
  const bytes = new Uint8Array(1);
  const r = program.read(address, bytes);
  const n = typeof r === 'number' ? r : yield* r;
  return n < 0 ? n : bytes[0];
}

describe('what a program holds of a device that is gone', () => {
  it('answers ENODEV; its memory is its own again, and what the device showed stays readable until it is unmapped', () => {
    const { world, machine } = boot();
    const program = machine.process('program');
    const held = world.complete(use(program));
    expect(program.mm.pinnedVm).toBe(1);
    for (const device of machine.devices.slice()) world.complete(device.remove('surprise'));

    expect(machine.devices.map(({ path }) => path)).toEqual([]);
    expect(machine.bus.gone).toEqual(['hold0', 'ram0']);
    expect(program.mm.pinnedVm).toBe(0);
    for (const call of [
      program.ioctl(held.fd, 0, held.buffer),
      program.ioctl(held.info, 1),
      program.ioctl(held.disk, 1),
      program.pread(held.disk, held.buffer, PAGE, 0),
      program.pwrite(held.disk, held.buffer, PAGE, 0),
      program.fsync(held.disk),
      program.fsync(held.fd),
    ]) {
      expect(world.complete(call)).toBe(-ENODEV);
    }
    expect(world.complete(mapOf(program, held.fd))).toBe(-ENODEV);
    expect(world.complete(byteAt(program, held.shown))).toBe(7);
    expect(world.complete(byteAt(program, held.untouched))).toBe(-EFAULT);
    expect(world.settle(program.munmap(held.shown, PAGE))).toBe(0);
    for (const fd of [held.fd, held.disk, held.info]) expect(world.complete(program.close(fd))).toBe(0);
    world.complete(machine.shutdown());
    leakCheck(world);
  });

  it('does not mix with that of a device of the same name that comes later', () => {
    const { world, machine } = boot();
    const program = machine.process('program');
    const held = world.complete(use(program));
    const [old] = machine.devices;
    world.complete(old.remove('surprise'));
    const again = machine.bus.plugIn({ name: 'hold0', hardware: RamDiskHardware, plugin: 'holder' });
    world.complete(machine.bus.probe(again, {}));
    expect([old.state, again.state, again.index]).toEqual(['gone', 'bound', 2]);
    expect([0, 1, 2, 3].map((index) => machine.bus.pathOf(index))).toEqual(['hold0', 'ram0', 'hold0', undefined]);
    expect(world.complete(program.ioctl(held.fd, 0, held.buffer))).toBe(-ENODEV);
    const fd = world.complete(program.open('/dev/holder'));
    expect(world.complete(program.ioctl(fd, 0, held.buffer))).toBe(0);
    world.complete(machine.shutdown());
    leakCheck(world);
  });
});

interface Watched {
  readonly what: string;
  readonly ref: WeakRef<object>;
}

/** A turn of the host's loop: a `WeakRef` that was made or read keeps its target up to there. */
const turn = (): Promise<void> => new Promise((done) => void setImmediate(done));

/** What is still there after everything that can be collected has been. */
async function alive(watched: readonly Watched[], collect: () => void): Promise<readonly string[]> {
  for (let round = 0; round < 5; round++) {
    await turn();
    collect();
  }
  return watched.filter(({ ref }) => ref.deref() !== undefined).map(({ what }) => what);
}

function watch(devices: readonly Device[]): Watched[] {
  return devices.flatMap((device) => {
    const { driver: bound, services, hardware, name } = device;
    if (bound === null || services === null) throw new Error(`${name} is not bound`);
    const parts = { device, driver: bound, services, hardware };
    return Object.entries(parts).map(([what, part]) => ({
      what: `${what} of ${name}`,
      ref: new WeakRef<object>(part),
    }));
  });
}

/** In a function of its own: an async function that waits keeps what its variables held last. */
function removeAll({ devices, world }: Machine, why: RemoveReason): void {
  for (const device of devices.slice()) world.complete(device.remove(why));
  world.run();
}

describe('a removed device', () => {
  let collect: () => void;

  beforeAll(async () => {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
    // The test below proves something only where the collector takes what nobody has, and leaves what somebody has.
    const kept = { here: true };
    const control = [
      { what: 'dropped', ref: new WeakRef<object>({ gone: true }) },
      { what: 'kept', ref: new WeakRef<object>(kept) },
    ];
    expect(await alive(control, collect)).toEqual(['kept']);
    expect(kept.here).toBe(true);
  });

  it.each(['surprise', 'shutdown'] as const)(
    'by %s is collected with its driver, services and hardware, although a program holds its files, pages and mapping',
    async (why) => {
      // In the full ledger, call traces keep what was on the stack until they are put into words.
      const { world, machine } = boot('counts');
      const program = machine.process('program');
      const held = world.complete(use(program));
      const watched = watch(machine.devices);
      expect(await alive(watched, collect)).toHaveLength(8);
      removeAll(machine, why);
      expect(await alive(watched, collect)).toEqual([]);
      // Here is what could have kept them.
      expect(world.complete(program.ioctl(held.fd, 0, held.buffer))).toBe(-ENODEV);
      expect(world.complete(byteAt(program, held.shown))).toBe(7);
      world.complete(machine.shutdown());
    },
  );

  it('that only lost its driver keeps the hardware, and lets go of the driver', async () => {
    const { world, machine } = boot('counts');
    const watched = watch(machine.devices);
    removeAll(machine, 'driver-unbind');
    expect(await alive(watched, collect)).toEqual([
      'device of hold0',
      'hardware of hold0',
      'device of ram0',
      'hardware of ram0',
    ]);
    expect(machine.devices.map(({ state }) => state)).toEqual(['unbound', 'unbound']);
    world.complete(machine.shutdown());
  });
});
