import type { UserProgram } from '@pincushion/driver';
import {
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ETIMEDOUT,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from '@pincushion/driver';
import { BuggyEchoNic, EchoNic, EchoNicHardware, EchoSocket, plugin } from '@pincushion/example-echo-nic';
import { testDevice, verifyDriver } from '@pincushion/testing';

const LENGTH = 2 * 4096;

/** A program that has opened the device and registered two pages. */
function* openAndRegister(program: UserProgram) {
  const mapped = program.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  const socket = yield* EchoSocket.open(program);
  if (typeof socket === 'number') throw new Error(`not opened: ${socket}`);
  expect(yield* socket.register(address, LENGTH)).toBe(0);
  return { socket, address };
}

describe('the echo NIC', () => {
  it('brings back what was sent, through pinned pages', () => {
    using bed = testDevice(EchoNic, { hardware: EchoNicHardware });
    const { socket, address } = bed.run(openAndRegister(bed.process));
    const sent = Uint8Array.from({ length: 3000 }, (_, i) => i % 251);
    const received = new Uint8Array(3000);
    bed.world.settle(bed.process.write(address, sent));
    expect(bed.run(socket.send(0, 3000))).toBe(3000);
    expect(bed.run(socket.receive(4096, LENGTH - 4096))).toBe(3000);
    bed.world.settle(bed.process.read(address + 4096, received));
    expect(received).toEqual(sent);
    expect(bed.machine.memory.ledger.counters.pinnedNow).toBe(2);
  });

  it('takes one nanosecond per byte, in chunks', () => {
    using bed = testDevice(EchoNic, { hardware: EchoNicHardware, model: { nsPerByte: 1 } });
    const { socket } = bed.run(openAndRegister(bed.process));
    const before = bed.world.now;
    bed.run(socket.send(0, LENGTH));
    expect(bed.world.now - before).toBe(LENGTH);
  });

  it('refuses what is not registered or not mapped', () => {
    using bed = testDevice(EchoNic, { hardware: EchoNicHardware });
    const { socket } = bed.run(openAndRegister(bed.process));
    expect(bed.run(socket.send(LENGTH - 1, 2))).toBe(-EINVAL);
    bed.run(socket.deregister());
    expect(bed.run(socket.send(0, 1))).toBe(-EINVAL);
    expect(bed.run(socket.register(4096, LENGTH))).toBe(-EFAULT);
  });

  it('ends a transfer with ENODEV when it is pulled out in the middle', () => {
    using bed = testDevice(EchoNic, { hardware: EchoNicHardware });
    const { socket } = bed.run(openAndRegister(bed.process));
    const sending = bed.world.spawn(socket.send(0, LENGTH), { name: 'send' });
    bed.advance('2us');
    bed.unplug();
    expect(bed.run(sending.join())).toBe(-ENODEV);
    expect(bed.run(socket.receive(0, 1))).toBe(-ENODEV);
  });

  it('gives a transfer up whose interrupt was lost', () => {
    using bed = testDevice(EchoNic, { hardware: EchoNicHardware });
    const { socket } = bed.run(openAndRegister(bed.process));
    bed.world.faults.arm('irq', { nth: 1, errno: -EIO });
    expect(bed.run(socket.send(0, 10))).toBe(-ETIMEDOUT);
    expect(bed.run(socket.send(0, 10))).toBe(10);
  });

  it('passes the suite that every driver must pass', () => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    expect(verifyDriver(EchoNic, { hardware: EchoNicHardware, example, limit: 20 }).problems).toEqual([]);
  });

  it('with a driver that unpins before its DMA stopped is caught, with every call site', () => {
    using bed = testDevice(BuggyEchoNic, { hardware: EchoNicHardware });
    const { socket } = bed.run(openAndRegister(bed.process));
    bed.run(socket.send(0, LENGTH));
    bed.world.spawn(socket.receive(0, LENGTH), { name: 'receive' });
    bed.advance('2us');
    bed.run(socket.close());
    bed.expectFinding('UNPINNED_WHILE_MAPPED');
    bed.expectFinding('DMA_AFTER_UNPIN');
    const [unpinned, accessed] = bed.findings;
    expect(unpinned.sites.map(({ what }) => what)).toEqual(['pinned', 'mapped', 'unpinned']);
    expect(accessed.sites.map(({ what }) => what)).toEqual(['pinned', 'mapped', 'unpinned', 'accessed']);
  });
});
