/** Swap on a disk of the machine: faults wait for the device, kswapd writes to it, and a device that goes takes pages along. */
import { assertMemorySane } from '@pincushion/mm';
import { Machine, parseMachine } from '@pincushion/machine';
import type { MachineInput, Process } from '@pincushion/machine';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { EFAULT, UsageError, World } from '@pincushion/sim';
import type { Blocker } from '@pincushion/sim';
import { plugin } from './ram-disk';

const PAGE = 4096;
const DISK = { name: 'ram0', plugin: 'ram', model: { sectors: 65_536 } };

function boot(world: World, memory: MachineInput['memory'], devices = [DISK]): Machine {
  const description = parseMachine({ memory: { ram: '8MiB', ...memory }, ledger: 'counts', devices }, 'test.yaml');
  return world.complete(Machine.boot(world, description, { plugins: [plugin] }), 'boot');
}

function anon(world: World, process: Process, pages: number): number {
  return world.settle(process.mmap(pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
}

/** Writes a byte to each page, and reads all again: how many were wrong. */
function* writeAndRead(process: Process, address: number, pages: number): Generator<Blocker, number, undefined> {
  const byte = new Uint8Array(1);
  let wrong = 0;
  for (let i = 0; i < pages; i++) {
    const r = process.write(address + i * PAGE, Uint8Array.of(i % 251));
    if ((typeof r === 'number' ? r : yield* r) !== 1) wrong++;
  }
  for (let i = 0; i < pages; i++) {
    const r = process.read(address + i * PAGE, byte);
    if ((typeof r === 'number' ? r : yield* r) !== 1 || byte[0] !== i % 251) wrong++;
  }
  return wrong;
}

describe('swap on a disk', () => {
  it('gives a program more memory than the machine has, at the price of the disk', () => {
    const world = new World();
    const machine = boot(world, { swapDevice: 'ram0n1' });
    const { memory } = machine;
    expect(memory.swap.slots).toBe(8191); // all of the disk, without the header
    expect(machine.tree()).toContain('swap 32 MiB on ram0n1');
    const process = machine.process('hog');
    const address = anon(world, process, 1400);
    const before = world.now;
    const thread = world.spawn(writeAndRead(process, address, 1400), { name: 'hog' });
    world.run();
    expect(thread.result).toBe(0);
    expect(memory.vmstat.pswpout).toBeGreaterThan(400);
    expect(memory.vmstat.pswpin).toBeGreaterThan(300);
    expect(world.now - before).toBeGreaterThan(4900 * (memory.vmstat.pswpout + memory.vmstat.pswpin));
    assertMemorySane(memory);
    expect(world.findings.all).toEqual([]);
    world.complete(process.exit(), 'exit');
    expect(memory.swap.slotsFree).toBe(memory.swap.slots);
    world.complete(machine.shutdown(), 'shutdown');
  });

  it('takes as much of the disk as is said', () => {
    const { memory } = boot(new World(), { swapDevice: 'ram0n1', swap: '1MiB' });
    expect(memory.swap.slots).toBe(255);
  });

  it('kills who needs a page of it after the disk was pulled out, and nobody else', () => {
    const world = new World();
    const machine = boot(world, { swapDevice: 'ram0n1' });
    const process = machine.process('hog');
    const address = anon(world, process, 1300);
    const thread = world.spawn(writeAndRead(process, address, 1300), { name: 'hog' });
    world.run();
    expect(thread.result).toBe(0);
    world.complete(machine.bus.remove(machine.device('ram0'), 'surprise'), 'removal');
    const byte = new Uint8Array(1);
    const results = new Set<number>();
    for (let i = 0; i < 1300; i++) results.add(world.settle(process.read(address + i * PAGE, byte)));
    expect([...results].sort((a, b) => a - b)).toEqual([-EFAULT, 1]);
    expect(process.mm.signal).toBe('SIGBUS');
    assertMemorySane(machine.memory);
  });

  it('must be a disk that is there', () => {
    expect(() => boot(new World(), { swapDevice: 'ram0n2' })).toThrow(UsageError);
    expect(() => boot(new World(), { swapDevice: 'ram0n2' })).toThrow(/DEVICE_UNKNOWN.*ram0n1/);
  });

  it('is left alone when nothing is kept free and nobody asks', () => {
    const world = new World();
    const machine = boot(world, { swapDevice: 'ram0n1', minFree: 0 });
    const process = machine.process('hog');
    const address = anon(world, process, 1400);
    let pages = 0;
    while (world.settle(process.write(address + pages * PAGE, Uint8Array.of(1))) === 1) pages++;
    expect(machine.memory.vmstat.pswpout).toBe(0);
  });
});
