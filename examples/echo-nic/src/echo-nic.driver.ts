/**
 * The driver of the echo NIC: a character device through which programs register a buffer and move bytes of it.
 * A buffer stays pinned and mapped; giving it back has an order: nothing in flight, then unmapped, then unpinned.
 */
import type { CharFile, DeviceTimer, MappedRange, Task, Transfer } from '@pincushion/driver';
import { CharDevices, DeviceWork, DmaMapper, Driver, Gup, Interrupts, Registers, driver } from '@pincushion/driver';
import { DmaDirection, EBUSY, EINVAL, EIO, ENODEV, ENOTTY, ETIMEDOUT } from '@pincushion/driver';
import { FOLL_LONGTERM, FOLL_WRITE } from '@pincushion/driver';
import { z } from 'zod';
import { Command, Register } from './echo-nic.hardware';
import { EchoIoctl } from './echo-nic.library';

/** Longer than any transfer takes: its interrupt was lost, or the hardware hangs. */
const WATCHDOG_NS = 30_000_000_000;
const Config = z.strictObject({ node: z.string().default('echo0') });

@driver({ name: 'echo-nic', api: 1, match: [{ vendor: 0x1af4, device: 0x10e1 }], config: Config })
export class EchoNic extends Driver<typeof Config> {
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
    const transferDone = (): undefined => {
      this.watchdog.cancel();
      this.current?.done(this.registers.read32(Register.status));
    };
    this.own(this.interrupts.request(0, 'transfer done', transferDone));
    this.own(this.chars.register(this.config.node, this));
  }

  *ioctl(file: CharFile, command: number, { start, length }: { start: number; length: number }): Task<number> {
    if (command === EchoIoctl.register) return yield* this.register(file, start, length);
    if (command === EchoIoctl.deregister) return yield* this.release(file); // as the last close does
    if (command !== EchoIoctl.send && command !== EchoIoctl.receive) return -ENOTTY;
    return yield* this.transfer(file, command, start, length);
  }

  private *register(file: CharFile, address: number, length: number): Task<number> {
    if (file.state !== null) return -EBUSY;
    const pinned = yield* this.gup.pinRange({ mm: file.mm, address, length }, FOLL_WRITE | FOLL_LONGTERM);
    if (typeof pinned === 'number') return pinned;
    const mapped = this.dma.mapRange(this.own(pinned), DmaDirection.bidirectional);
    if (typeof mapped === 'number') yield* this.giveBack(pinned);
    else file.state = this.own(mapped);
    return typeof mapped === 'number' ? mapped : 0;
  }

  private *transfer(file: CharFile, command: number, start: number, length: number): Task<number> {
    yield* this.idle(); // the hardware does one thing at a time
    const buffer = file.state as MappedRange | null;
    if (this.device.state !== 'bound') return -ENODEV;
    if (buffer === null || start < 0 || start + length > buffer.length) return -EINVAL;
    this.current = this.track('echo transfer');
    this.registers.write64lohi(Register.buffer, buffer.iova + start);
    this.registers.write32(Register.length, length);
    this.watchdog.start(WATCHDOG_NS);
    this.registers.write32(Register.doorbell, command);
    const moved = yield* this.current.ended();
    return moved > length ? -EIO : moved; // FAILED, and whatever a broken device says
  }

  *release(file: CharFile): Task<number> {
    yield* this.idle();
    const buffer = file.state as MappedRange | null;
    file.state = null;
    if (buffer !== null) yield* this.giveBack(buffer, buffer.pinned);
    return 0;
  }

  override *remove(): Task {
    this.stop(-ENODEV);
    yield* this.idle();
  }

  /** The hardware moves nothing any more, and whoever waits for it goes on. */
  private stop(result: number): undefined {
    this.registers.write32(Register.doorbell, Command.stop);
    this.current?.done(result);
  }
}
