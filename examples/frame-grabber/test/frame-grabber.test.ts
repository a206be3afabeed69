import type { UserProgram } from '@pincushion/driver';
import { EINVAL, ENODEV, ENOTTY, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { FrameGrabber, FrameGrabberDriver, FrameGrabberHardware, frameText } from '@pincushion/example-frame-grabber';
import { testDevice } from '@pincushion/testing';

const PAGE = 4096;
const CHUNK_NS = 5000;

function* openWithPage(program: UserProgram) {
  const mapped = program.mmap(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  const camera = yield* FrameGrabber.open(program);
  if (typeof camera === 'number') throw new Error(`not opened: ${camera}`);
  return { camera, address };
}

describe('the frame grabber', () => {
  it('fills the memory with the frame, 512 bytes every 5 µs, and gives the pin back', () => {
    using bed = testDevice(FrameGrabberDriver, { hardware: FrameGrabberHardware });
    const { camera, address } = bed.run(openWithPage(bed.process));
    const before = bed.world.now;
    expect(bed.run(camera.grab(address, PAGE, 7))).toBe(PAGE);
    expect(bed.world.now - before).toBe(8 * CHUNK_NS);
    const seen = new Uint8Array(PAGE);
    bed.world.settle(bed.process.read(address, seen));
    expect(new TextDecoder().decode(seen)).toBe(frameText(7).repeat(PAGE / 8));
    expect(bed.machine.memory.ledger.counters.pinnedNow).toBe(0);
  });

  it('refuses nothing as a frame, and commands it does not know', () => {
    using bed = testDevice(FrameGrabberDriver, { hardware: FrameGrabberHardware });
    const { camera, address } = bed.run(openWithPage(bed.process));
    expect(bed.run(camera.grab(address, 0, 1))).toBe(-EINVAL);
    const fd = bed.run(bed.process.open('/dev/grabber0'));
    expect(bed.run(bed.process.ioctl(fd, 99, { address, length: PAGE, frame: 1 }))).toBe(-ENOTTY);
  });

  it('ends a frame with ENODEV when it is pulled out in its middle, and leaves nothing behind', () => {
    using bed = testDevice(FrameGrabberDriver, { hardware: FrameGrabberHardware });
    const { camera, address } = bed.run(openWithPage(bed.process));
    const taking = bed.world.spawn(camera.grab(address, PAGE, 1), { name: 'grab' });
    bed.world.run({ untilNs: bed.world.now + 3 * CHUNK_NS });
    bed.unplug();
    expect(bed.run(taking.join())).toBe(-ENODEV);
  });
});
