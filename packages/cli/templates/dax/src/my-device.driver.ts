/**
 * The driver of my-device: its memory as a character device that programs map (device DAX).
 *
 * Nothing is pinned here: the window belongs to the device for as long as it is bound, and programs hold references to the
 * pages they have mapped. Loads and stores do not come past the driver; only a flush does.
 */
import type {
  CharFile,
  DeviceTimer,
  ManagedCoherent,
  MapRequest,
  Task,
  Transfer,
  VmaBacking,
} from '@pincushion/driver';
import { CharDevices, DeviceWork, DmaMapper, Driver, Interrupts, Registers, driver } from '@pincushion/driver';
import { EINVAL, EIO, ENODEV, ENOTTY, ETIMEDOUT, MAP_SHARED, PAGE_SIZE } from '@pincushion/driver';
import { z } from 'zod';
import { BUSY, Command, DONE, IDS, Register } from './my-device.hardware';
import type { FlushRequest } from './my-device.library';
import { MyDeviceIoctl } from './my-device.library';

/** A command that takes longer has lost its interrupt, or the hardware hangs. */
const Config = z.strictObject({ timeoutMs: z.int().min(1).max(60_000).default(1000) });

@driver({
  name: 'my-device',
  api: 1,
  match: [IDS],
  config: Config,
  // In the order of the constructor's parameters. With decorator metadata this line may go.
  deps: [DmaMapper, Registers, Interrupts, CharDevices, DeviceWork],
})
export class MyDeviceDriver extends Driver<typeof Config> {
  private window!: ManagedCoherent;
  private capacity = 0;
  private current: Transfer | null = null;
  private watchdog!: DeviceTimer;

  constructor(
    private readonly dma: DmaMapper,
    private readonly registers: Registers,
    private readonly interrupts: Interrupts,
    private readonly chars: CharDevices,
    private readonly work: DeviceWork,
  ) {
    super();
  }

  override *probe(): Task {
    const { registers } = this;
    this.capacity = registers.read32(Register.capacity);
    if (this.capacity === 0 || this.capacity % PAGE_SIZE !== 0) throw new Error(`no capacity: ${this.capacity} bytes`);
    const window = this.dma.coherent(this.capacity, 'window');
    if (window === null) throw new Error(`no memory for a window of ${this.capacity} bytes`);
    this.window = this.own(window);
    const giveUp = (): undefined => {
      this.stop(-ETIMEDOUT);
    };
    this.watchdog = this.own(this.work.timer('watchdog', giveUp));
    const commandDone = (): undefined => {
      const status = registers.read32(Register.status);
      if (status === BUSY) return; // an interrupt of an earlier command, which came late
      this.watchdog.cancel();
      this.current?.done(status === DONE ? 0 : -EIO);
    };
    this.own(this.interrupts.request(0, 'command done', commandDone));
    registers.write64lohi(Register.window, window.iova);
    const loaded = yield* this.command(Command.load, 0, this.capacity);
    if (loaded < 0) throw new Error(`the content could not be loaded: ${loaded}`);
    this.own(this.chars.register(this.device.name, this));
  }

  *ioctl(_file: CharFile, command: number, request: unknown): Task<number> {
    if (command === MyDeviceIoctl.size) return this.capacity;
    if (command !== MyDeviceIoctl.flush) return -ENOTTY;
    const { offset, length } = request as FlushRequest;
    if (!(offset >= 0 && length > 0 && offset + length <= this.capacity)) return -EINVAL;
    return yield* this.command(Command.flush, offset, length);
  }

  mmap(_file: CharFile, { length, flags, pageOffset }: MapRequest): VmaBacking | number {
    if ((flags & MAP_SHARED) === 0) return -EINVAL; // a private copy of durable memory would not be durable
    if (pageOffset * PAGE_SIZE + length > this.capacity) return -EINVAL;
    return this.dma.mmapCoherent(this.window);
  }

  private *command(command: number, offset: number, length: number): Task<number> {
    yield* this.idle(); // the hardware does one thing at a time
    if (this.device.state === 'removing' || this.device.state === 'gone') return -ENODEV;
    this.current = this.track('command');
    this.registers.write32(Register.offset, offset);
    this.registers.write32(Register.length, length);
    this.watchdog.start(this.config.timeoutMs * 1_000_000);
    this.registers.write32(Register.command, command);
    return yield* this.current.ended();
  }

  override *reset(): Task {
    this.stop(-EIO);
    yield* this.idle();
  }

  override *remove(): Task {
    this.stop(-ENODEV);
    yield* this.idle();
  }

  /** The hardware reads and writes nothing any more, and whoever waits for it goes on. */
  private stop(result: number): undefined {
    this.registers.write32(Register.command, Command.stop);
    this.watchdog.cancel();
    this.current?.done(result);
  }
}
