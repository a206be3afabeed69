/** `mounts` of a machine file: file systems on disks of the machine, from boot to shutdown. */
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, hardware } from '@pincushion/driver';
import { Machine, O_CREAT, parseMachine } from '@pincushion/machine';
import type { MachineInput, Process } from '@pincushion/machine';
import { assertMemorySane } from '@pincushion/mm';
import { EIO, ENOENT, PincushionError, UsageError, World } from '@pincushion/sim';
import { Model, RamDiskHardware, plugin } from './ram-disk';

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;
const DISK = { name: 'ram0', plugin: 'ram', model: { sectors: 8192 } };
const MOUNT = { device: 'ram0n1', at: '/mnt' };

function describedAs(input: MachineInput) {
  return parseMachine({ memory: { ram: '32MiB' }, ledger: 'full', devices: [DISK], ...input }, 'test.yaml');
}

function boot(world: World, input: MachineInput = { mounts: [MOUNT] }): Machine {
  return world.complete(Machine.boot(world, describedAs(input), { plugins: [plugin] }), 'boot');
}

/** A process with a page full of a byte. */
function program(world: World, machine: Machine, byte: number): { process: Process; buffer: number } {
  const process = machine.process('program');
  const buffer = world.settle(process.mmap(PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS));
  expect(world.settle(process.write(buffer, new Uint8Array(PAGE).fill(byte)))).toBe(PAGE);
  return { process, buffer };
}

function hardwareOf(machine: Machine): RamDiskHardware {
  const { hardware } = machine.device('ram0');
  if (!(hardware instanceof RamDiskHardware)) throw new Error('the device is no RAM disk');
  return hardware;
}

/** A RAM disk that has what another machine has left on one. */
function diskWith(content: Uint8Array): typeof RamDiskHardware {
  @hardware({ name: 'ram-disk', vendor: 0x1234, device: 0x0002, bars: [{ bytes: 64 }], vectors: 1, config: Model })
  class FilledRamDisk extends RamDiskHardware {
    override powerOn(): void {
      super.powerOn();
      this.content.set(content);
    }
  }
  return FilledRamDisk;
}

describe('a mount of a machine file', () => {
  it('has a new file system on an empty disk, and processes reach its files by their paths', () => {
    const world = new World();
    const machine = boot(world);
    expect(machine.tree()).toMatch(/mounts 1\n +└─ \/mnt on ram0n1, 4 MiB, .* free, format if-empty/);
    const { process, buffer } = program(world, machine, 7);
    expect(world.complete(process.open('/mnt/log'))).toBe(-ENOENT);
    const fd = world.complete(process.open('/mnt/log', O_CREAT));
    expect(world.complete(process.pwrite(fd, buffer, PAGE, 0))).toBe(PAGE);
    expect(world.complete(process.fsync(fd))).toBe(0);
    const address = world.settle(process.mmapFile(fd, PAGE, RW, MAP_SHARED));
    expect(world.settle(process.write(address, Uint8Array.of(8)))).toBe(1);
    world.complete(machine.shutdown());
    expect(world.findings.all).toEqual([]);
    assertMemorySane(machine.memory);
  });

  it.each(['if-empty', 'never', 'always'] as const)(
    'finds at the next boot what was written, with format %s',
    (format) => {
      const world = new World();
      const machine = boot(world);
      const { process, buffer } = program(world, machine, 7);
      const fd = world.complete(process.creat('/mnt/log'));
      world.complete(process.pwrite(fd, buffer, PAGE, 0));
      const { content } = hardwareOf(machine);
      world.complete(machine.shutdown()); // writes what is dirty
      const again = describedAs({ mounts: [{ ...MOUNT, format }] });
      const plugins = [{ ...plugin, hardware: [diskWith(content)] }];
      const next = world.complete(Machine.boot(world, again, { plugins }));
      const reader = program(world, next, 0);
      const opened = world.complete(reader.process.open('/mnt/log'));
      if (format === 'always') {
        expect(opened).toBe(-ENOENT);
      } else {
        expect(world.complete(reader.process.pread(opened, reader.buffer, PAGE, 0))).toBe(PAGE);
        const byte = new Uint8Array(1);
        world.settle(reader.process.read(reader.buffer, byte));
        expect(byte[0]).toBe(7);
      }
      world.complete(next.shutdown());
      expect(world.findings.all).toEqual([]);
    },
  );

  it.each<[string, MachineInput, RegExp]>([
    [
      'a disk that is not there',
      { mounts: [{ ...MOUNT, device: 'ram0n2' }] },
      /DEVICE_UNKNOWN: machine: there is no disk ram0n2.*one of ram0n1; got ram0n2.*Try ram0n1/,
    ],
    [
      'a disk without room for one',
      { devices: [{ ...DISK, model: { sectors: 64 } }], mounts: [MOUNT] },
      /FS_TOO_SMALL: ram0n1 cannot be mounted at \/mnt.*at least \d+ blocks of 4096 bytes.*got 8 blocks/,
    ],
    [
      'a disk without a file system, where none may be made',
      { mounts: [{ ...MOUNT, format: 'never' }] },
      /FS_SUPERBLOCK_INVALID: ram0n1 cannot be mounted at \/mnt.*Try format: always/,
    ],
  ])('is refused on %s, and the machine is off again', (_what, input, message) => {
    const world = new World();
    let thrown: unknown;
    try {
      boot(world, input);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UsageError);
    expect(String(thrown)).toMatch(message);
    expect(world.findings.all).toEqual([]);
  });

  it.each<[string, MachineInput, RegExp]>([
    [
      'two at one place',
      { mounts: [MOUNT, { ...MOUNT, device: 'ram1n1' }] },
      /MOUNT_DUPLICATE: test.yaml: something is mounted at \/mnt twice.*mounts\[0\] and mounts\[1\]/,
    ],
    ['a disk twice', { mounts: [MOUNT, { ...MOUNT, at: '/data' }] }, /MOUNT_DUPLICATE.*disk ram0n1 is used twice/],
    [
      'the disk of the swap',
      { memory: { swapDevice: 'ram0n1' }, mounts: [MOUNT] },
      /MOUNT_DUPLICATE.*memory.swapDevice and mounts\[0\]/,
    ],
    [
      'a place that is taken',
      { mounts: [{ ...MOUNT, at: '/tmp' }] },
      /MACHINE_INVALID.*other than \/dev, \/sys and \/tmp/,
    ],
    ['nodes of devices', { mounts: [{ ...MOUNT, at: '/dev/disk' }] }, /MACHINE_INVALID/],
    ['no place', { mounts: [{ ...MOUNT, at: 'mnt/' }] }, /MACHINE_INVALID.*a path such as \/mnt/],
    [
      'a word for format that there is not',
      { mounts: [{ ...MOUNT, format: 'empty' as 'always' }] },
      /MACHINE_INVALID.*format.*if-empty/,
    ],
  ])('is refused by the description: %s', (_what, input, message) => {
    expect(() => describedAs(input)).toThrow(message);
    expect(() => describedAs(input)).toThrow(PincushionError);
  });

  it('answers EIO when its device was pulled out, and is unmounted cleanly', () => {
    const world = new World();
    const machine = boot(world);
    const { process, buffer } = program(world, machine, 7);
    const fd = world.complete(process.creat('/mnt/log'));
    world.complete(process.pwrite(fd, buffer, PAGE, 0));
    expect(world.complete(process.fsync(fd))).toBe(0);
    world.complete(process.pwrite(fd, buffer, PAGE, PAGE));
    world.complete(machine.bus.remove(machine.device('ram0'), 'surprise'));
    expect(world.complete(process.fsync(fd))).toBe(-EIO);
    expect(world.complete(process.pread(fd, buffer, PAGE, 0))).toBe(PAGE); // it is in the page cache
    world.complete(machine.shutdown());
    expect(world.findings.all).toEqual([]);
    assertMemorySane(machine.memory);
  });

  it('names the files that somebody has still open at shutdown, whose content is written all the same', () => {
    const world = new World();
    const machine = boot(world);
    const [{ fs }] = machine.mounts;
    const opened = fs.create('/kept');
    const file = typeof opened === 'number' || 'mapping' in opened ? opened : world.complete(opened);
    if (typeof file === 'number') throw new Error('no file');
    world.settle(file.write(0, new Uint8Array(PAGE).fill(9), 0, PAGE));
    const { content } = hardwareOf(machine);
    world.complete(machine.shutdown());
    const [finding] = world.findings.all;
    expect(finding.code).toBe('FS_UNMOUNT_FAILED');
    expect(finding.summary).toBe('ram0n1, mounted at /mnt, could not be unmounted: files are in use');
    expect(finding.details).toEqual(['kept is open or mapped']);
    const blocks = Array.from({ length: content.length / PAGE }, (_, i) => content.subarray(i * PAGE, (i + 1) * PAGE));
    expect(blocks.some((block) => block.every((byte) => byte === 9))).toBe(true);
  });
});
