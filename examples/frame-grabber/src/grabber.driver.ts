/**
 * The driver of the frame grabber: one command, which takes a frame into memory of the caller.
 *
 * The memory is pinned for that one frame only, so a short-term pin is right, and every kernel allows it, also for a shared
 * mapping of a file. What the driver does is what it should: pin, map, transfer, unmap, mark dirty, unpin.
 */
import type { CharFile, Task, Transfer } from '@pincushion/driver';
import { CharDevices, DmaDirection, DmaMapper, Driver, Gup, Interrupts, Registers, driver } from '@pincushion/driver';
import { EINVAL, EIO, ENODEV, ENOTTY, FOLL_WRITE } from '@pincushion/driver';
import { z } from 'zod';
import { Register, STOP } from './grabber.hardware';
import { GRAB } from './grabber.library';
import type { GrabArguments } from './grabber.library';

const Config = z.strictObject({ node: z.string().default('grabber0') });

@driver({ name: 'frame-grabber', api: 1, match: [{ vendor: 0x1af4, device: 0x10e2 }], config: Config })
export class FrameGrabberDriver extends Driver<typeof Config> {
  private current: Transfer | null = null;

  constructor(
    private readonly gup: Gup,
    private readonly dma: DmaMapper,
    private readonly registers: Registers,
    private readonly interrupts: Interrupts,
    private readonly chars: CharDevices,
  ) {
    super();
  }

  override *probe(): Task {
    const frameDone = (): undefined => {
      this.current?.done(this.registers.read32(Register.status));
    };
    this.own(this.interrupts.request(0, 'frame done', frameDone));
    this.own(this.chars.register(this.config.node, this));
  }

  *ioctl(file: CharFile, command: number, { address, length, frame }: GrabArguments): Task<number> {
    if (command !== GRAB) return -ENOTTY;
    yield* this.idle(); // one frame at a time
    if (this.device.state !== 'bound') return -ENODEV;
    if (!(length > 0 && frame > 0)) return -EINVAL;
    const pinned = yield* this.gup.pinRange({ mm: file.mm, address, length }, FOLL_WRITE);
    if (typeof pinned === 'number') return pinned;
    const mapped = this.dma.mapRange(this.own(pinned), DmaDirection.fromDevice);
    if (typeof mapped === 'number') {
      yield* this.giveBack(pinned);
      return mapped;
    }
    this.own(mapped);
    this.current = this.track('frame');
    this.registers.write64lohi(Register.buffer, mapped.iova);
    this.registers.write32(Register.length, length);
    this.registers.write32(Register.doorbell, frame);
    const moved = yield* this.current.ended();
    yield* this.giveBack(mapped, pinned);
    return moved > length ? -EIO : moved;
  }

  override *remove(): Task {
    this.registers.write32(Register.doorbell, STOP);
    this.current?.done(-ENODEV);
    yield* this.idle();
  }
}
