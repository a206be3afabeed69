/** Direct I/O on files, and the writeback settings of a machine, through system calls: a file system on a disk of the machine. */
import { DiskBlockStore, newFileSystem } from '@pincushion/fs';
import { Machine, O_CREAT, O_DIRECT, parseMachine } from '@pincushion/machine';
import type { MachineInput } from '@pincushion/machine';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, assertMemorySane } from '@pincushion/mm';
import { EINVAL, World } from '@pincushion/sim';
import type { Task } from '@pincushion/sim';
import { plugin } from './ram-disk';

const PAGE = 4096;

function setUp(memory: MachineInput['memory'] = {}) {
  const world = new World();
  const description = parseMachine(
    {
      memory: { ram: '64MiB', ...memory },
      ledger: 'full',
      devices: [{ name: 'ram0', plugin: 'ram', model: { sectors: 32768 } }],
    },
    'test',
  );
  const machine = world.complete(Machine.boot(world, description, { plugins: [plugin] }), 'boot');
  const store = new DiskBlockStore(machine.memory, machine.disk('ram0n1'));
  machine.files.mount('/data', world.complete(newFileSystem(machine.memory, store), 'mkfs'));
  const process = machine.process('program');
  const run = <T>(call: Task<T>): T => world.complete(call, 'program');
  const buffer = world.settle(process.mmap(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  const fill = (byte: number): void => {
    world.settle(process.write(buffer, new Uint8Array(4 * PAGE).fill(byte)));
  };
  const byteAt = (offset: number): number => {
    const byte = new Uint8Array(1);
    world.settle(process.read(buffer + offset, byte));
    return byte[0];
  };
  return { world, machine, process, run, buffer, fill, byteAt };
}

describe('a file opened with O_DIRECT', () => {
  it('is read and written past the page cache, and agrees with who opened it without', () => {
    const { machine, process, run, buffer, fill, byteAt, world } = setUp();
    const direct = run(process.open('/data/a', O_CREAT | O_DIRECT));
    const cached = run(process.open('/data/a'));
    fill(7);
    const before = machine.memory.vmstat.nrFollPinAcquired;
    expect(run(process.pwrite(direct, buffer, 2 * PAGE, 0))).toBe(2 * PAGE);
    expect(machine.memory.vmstat.nrFollPinAcquired - before).toBe(2);
    fill(0);
    expect(run(process.pread(cached, buffer, 2 * PAGE, 0))).toBe(2 * PAGE);
    expect(byteAt(PAGE)).toBe(7);
    fill(9);
    expect(run(process.pwrite(cached, buffer, PAGE, 0))).toBe(PAGE);
    fill(0);
    expect(run(process.pread(direct, buffer, 4 * PAGE, 0))).toBe(2 * PAGE);
    expect([byteAt(0), byteAt(PAGE)]).toEqual([9, 7]);
    expect(run(process.pread(direct, buffer + 1, PAGE, 0))).toBe(-EINVAL);
    run(process.close(direct));
    run(process.close(cached));
    assertMemorySane(machine.memory);
    run(machine.shutdown());
    expect(world.findings.all).toEqual([]);
  });

  it('works on the memory of the process that calls, also after a fork', () => {
    const { process, run, buffer, fill, byteAt, machine } = setUp();
    const fd = run(process.open('/data/a', O_CREAT | O_DIRECT));
    fill(7);
    run(process.pwrite(fd, buffer, PAGE, 0));
    const child = process.fork('child');
    if (typeof child === 'number') throw new Error('fork');
    fill(1);
    expect(run(child.pread(fd, buffer, PAGE, 0))).toBe(PAGE);
    expect(byteAt(0)).toBe(1);
    run(machine.shutdown());
  });
});

describe('how a machine holds pages and writes them back', () => {
  it('is said by its description', () => {
    const { machine } = setUp({ directIo: 'get', writeback: { pinned: 'bounce', gup: 'busy', dirtyExpire: '1s' } });
    const { memory } = machine;
    expect(memory.directIoHold).toBe('get');
    expect(memory.writeback.settings).toEqual({
      pinned: 'bounce',
      gup: 'busy',
      flusher: true,
      dirtyRatio: 20,
      dirtyBackgroundRatio: 10,
      flushIntervalNs: 5e9,
      dirtyExpireNs: 1e9,
    });
  });

  it('follows the kernel where nothing is said: direct I/O pins since 6.5', () => {
    const hold = (kernel: '6.18' | '6.1' | '5.4') => {
      const world = new World();
      const description = parseMachine({ kernel, memory: { ram: '64MiB' } }, 'test');
      return world.complete(Machine.boot(world, description, { plugins: [] }), 'boot').memory.directIoHold;
    };
    expect((['6.18', '6.1', '5.4'] as const).map(hold)).toEqual(['pin', 'get', 'get']);
  });

  it('takes plain references for direct I/O where it is told to, and the full ledger does not mind', () => {
    const { world, machine, process, run, buffer, fill } = setUp({ directIo: 'get' });
    const disk = run(process.open('/dev/ram0n1'));
    fill(7);
    const { getsAcquired } = machine.memory.ledger.counters;
    expect(run(process.pread(disk, buffer, PAGE, 0))).toBe(PAGE);
    expect(machine.memory.ledger.counters.getsAcquired - getsAcquired).toBe(1);
    expect(machine.memory.vmstat.nrFollPinAcquired).toBe(0);
    run(machine.shutdown());
    expect(world.findings.all).toEqual([]);
  });
});
