/**
 * The driver of my-device: a character device with one command, in which everything happens that pins ask of a driver:
 * pin, map, let the hardware write, wait for its interrupt, unmap, unpin.
 */
import type { CharFile, DeviceTimer, MappedRange, Task, Transfer } from '@pincushion/driver';
import { CharDevices, DeviceWork, DmaMapper, Driver, Gup, Interrupts, Registers, driver } from '@pincushion/driver';
import { DmaDirection, EINVAL, EIO, ENODEV, ENOTTY, ETIMEDOUT, FOLL_WRITE } from '@pincushion/driver';
import { z } from 'zod';
import { BUSY, Command, IDS, Register } from './my-device.hardware';
import type { FillRequest } from './my-device.library';
import { MyDeviceIoctl } from './my-device.library';

/** The longest fill that the hardware is asked for, bytes. */
const LENGTH_MAX = 1 << 20;
/** A fill that takes longer has lost its interrupt, or the hardware hangs. */
const Config = z.strictObject({ timeoutMs: z.int().min(1).max(60_000).default(1000) });

@driver({
  name: 'my-device',
  api: 1,
  match: [IDS],
  config: Config,
  // In the order of the constructor's parameters. With decorator metadata this line may go.
  deps: [Gup, DmaMapper, Registers, Interrupts, CharDevices, DeviceWork],
})
export class MyDeviceDriver extends Driver<typeof Config> {
  private current: Transfer | null = null;
  private watchdog!: DeviceTimer;

  constructor(
    private readonly gup: Gup,
    private readonly dma: DmaMapper,
    private readonly registers: Registers,
    private readonly interrupts: Interrupts,
    private readonly chars: CharDevices,
    private readonly work: DeviceWork,
  ) {
    super();
  }

  override *probe(): Task {
    const giveUp = (): undefined => {
      this.stop(-ETIMEDOUT);
    };
    this.watchdog = this.own(this.work.timer('watchdog', giveUp));
    const filled = (): undefined => {
      const status = this.registers.read32(Register.status);
      if (status === BUSY) return; // an interrupt of an earlier fill, which came late
      this.watchdog.cancel();
      this.current?.done(status);
    };
    this.own(this.interrupts.request(0, 'filled', filled));
    this.own(this.chars.register(this.device.name, this));
  }

  *ioctl(file: CharFile, command: number, request: FillRequest): Task<number> {
    if (command !== MyDeviceIoctl.fill) return -ENOTTY;
    const { address, length, byte } = request;
    if (!(length > 0 && length <= LENGTH_MAX)) return -EINVAL;
    const pinned = yield* this.gup.pinRange({ mm: file.mm, address, length }, FOLL_WRITE);
    if (typeof pinned === 'number') return pinned;
    const mapped = this.dma.mapRange(this.own(pinned), DmaDirection.fromDevice);
    if (typeof mapped === 'number') {
      yield* this.giveBack(pinned);
      return mapped;
    }
    const filled = yield* this.fill(this.own(mapped), byte);
    yield* this.giveBack(mapped, pinned); // in this order: the mapping stands on the pin
    return filled;
  }

  private *fill(buffer: MappedRange, byte: number): Task<number> {
    yield* this.idle(); // the hardware does one thing at a time
    if (this.device.state !== 'bound') return -ENODEV;
    this.current = this.track('fill');
    this.registers.write64lohi(Register.buffer, buffer.iova);
    this.registers.write32(Register.length, buffer.length);
    this.registers.write32(Register.byte, byte);
    this.watchdog.start(this.config.timeoutMs * 1_000_000);
    this.registers.write32(Register.command, Command.fill);
    const bytes = yield* this.current.ended();
    return bytes > buffer.length ? -EIO : bytes; // FAILED, and whatever a broken device says
  }

  override *reset(): Task {
    this.stop(-EIO);
    yield* this.idle();
  }

  override *remove(): Task {
    this.stop(-ENODEV);
    yield* this.idle();
  }

  /** The hardware writes nothing any more, and whoever waits for it goes on. */
  private stop(result: number): undefined {
    this.registers.write32(Register.command, Command.stop);
    this.watchdog.cancel();
    this.current?.done(result);
  }
}
