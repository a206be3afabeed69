/**
 * A correct driver and its hardware, made to be spoilt: each planted bug is a class that changes one method of it.
 *
 * The hardware moves bytes between host memory and nowhere, a chunk at a time. Registers of BAR 0, 32 bits each: address
 * (64 bits), length, doorbell (0 stop, 1 device reads, 2 device writes), status (bytes moved, or all ones for a fault).
 */
import type {
  CharFile,
  DeviceTimer,
  ExampleProgram,
  MappedRange,
  PinnedRange,
  RemoveReason,
  Task,
  Transfer,
} from '@pincushion/driver';
import {
  CharDevices,
  DeviceModel,
  DeviceWork,
  DmaDirection,
  DmaMapper,
  Driver,
  EBUSY,
  EINVAL,
  EIO,
  ENODEV,
  ENOMEM,
  ENOTTY,
  ETIMEDOUT,
  FOLL_LONGTERM,
  FOLL_WRITE,
  Gup,
  Interrupts,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  Registers,
  driver,
  hardware,
} from '@pincushion/driver';
import { z } from 'zod';

export const MATCH = [{ vendor: 0x1234, device: 0x0100 }] as const;
export const Register = { address: 0, length: 8, doorbell: 12, status: 16 } as const;
export const Command = { stop: 0, read: 1, write: 2 } as const;
const FAILED = 0xffffffff;
const CHUNK_BYTES = 1024;
const WATCHDOG_NS = 1_000_000_000;

@hardware({ name: 'port', ...MATCH[0], bars: [{ bytes: 32 }], vectors: 1 })
export class PortHardware extends DeviceModel {
  protected readonly registers = new Uint32Array(8);
  private readonly chunk = new Uint8Array(CHUNK_BYTES).fill(0x5a);
  private event = 0;

  override powerOn(): void {
    this.registers.fill(0);
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers[offset >> 2] = value;
    if (offset !== Register.doorbell) return;
    this.cancel(this.event);
    if (value !== Command.stop) this.move(value, 0);
  }

  private move(command: number, done: number): void {
    const [low, high, length] = this.registers;
    const bytes = Math.min(CHUNK_BYTES, length - done);
    this.event = this.after(bytes, () => {
      const address = low + high * 0x1_0000_0000 + done;
      const errno =
        command === Command.read
          ? this.dmaRead(address, this.chunk, 0, bytes)
          : this.dmaWrite(address, this.chunk, 0, bytes);
      if (errno === 0 && done + bytes < length) {
        this.move(command, done + bytes);
        return;
      }
      this.ended(errno === 0 ? length : FAILED);
    });
  }

  protected ended(status: number): void {
    this.registers[Register.status >> 2] = status;
    this.raise(0);
  }
}

/** The commands of the character device. `post` answers at once, the others when the device has done it. */
const PortIoctl = { read: 1, write: 2, register: 3, deregister: 4, post: 5 } as const;

export interface PortCall {
  readonly start: number;
  readonly length: number;
}

export const Config = z.strictObject({});

@driver({ name: 'port', api: 1, match: MATCH, config: Config })
export class Port extends Driver<typeof Config> {
  protected current: Transfer | null = null;
  protected watchdog!: DeviceTimer;

  constructor(
    protected readonly gup: Gup,
    protected readonly dma: DmaMapper,
    protected readonly registers: Registers,
    protected readonly interrupts: Interrupts,
    protected readonly chars: CharDevices,
    protected readonly work: DeviceWork,
  ) {
    super();
  }

  override *probe(): Task {
    this.takeRing();
    this.watchdog = this.own(
      this.work.timer('watchdog', () => {
        this.stop(-ETIMEDOUT);
      }),
    );
    this.own(
      this.interrupts.request(0, 'done', () => {
        this.transferDone();
      }),
    );
    this.own(this.chars.register(this.device.name, this));
  }

  protected takeRing(): void {
    for (const what of ['ring', 'events']) {
      const memory = this.dma.coherent(4096, what);
      if (memory === null) throw new Error(`no memory for the ${what}`);
      this.own(memory);
    }
  }

  protected transferDone(): undefined {
    this.watchdog.cancel();
    this.current?.done(this.registers.read32(Register.status));
  }

  *ioctl(file: CharFile, command: number, { start, length }: PortCall): Task<number> {
    if (command === PortIoctl.register) return yield* this.register(file, start, length);
    if (command === PortIoctl.deregister) return yield* this.release(file);
    if (command === PortIoctl.post) return yield* this.begin(file, Command.write, start, length);
    if (command !== PortIoctl.read && command !== PortIoctl.write) return -ENOTTY;
    const begun = yield* this.begin(file, command, start, length);
    return begun < 0 || this.current === null ? begun : yield* this.outcome(this.current, length);
  }

  protected *outcome(transfer: Transfer, length: number): Task<number> {
    const moved = yield* transfer.ended();
    return moved > length ? -EIO : moved;
  }

  protected *register(file: CharFile, address: number, length: number): Task<number> {
    if (file.state !== null) return -EBUSY;
    const pinned = yield* this.gup.pinRange({ mm: file.mm, address, length }, FOLL_WRITE | FOLL_LONGTERM);
    return typeof pinned === 'number' ? pinned : yield* this.map(file, pinned);
  }

  protected *map(file: CharFile, pinned: PinnedRange): Task<number> {
    const mapped = this.dma.mapRange(this.own(pinned), DmaDirection.bidirectional);
    if (typeof mapped === 'number') yield* this.giveBack(pinned);
    else file.state = this.own(mapped);
    return typeof mapped === 'number' ? mapped : 0;
  }

  protected *begin(file: CharFile, command: number, start: number, length: number): Task<number> {
    yield* this.idle();
    const buffer = file.state as MappedRange | null;
    if (this.device.state !== 'bound') return -ENODEV;
    if (buffer === null || start + length > buffer.length) return -EINVAL;
    this.current = this.track('transfer');
    this.ring(buffer.iova + start, length, command);
    return 0;
  }

  protected ring(iova: number, length: number, command: number): void {
    this.registers.write64lohi(Register.address, iova);
    this.registers.write32(Register.length, length);
    this.startWatchdog();
    this.registers.write32(Register.doorbell, command);
  }

  protected startWatchdog(): void {
    this.watchdog.start(WATCHDOG_NS);
  }

  *release(file: CharFile): Task<number> {
    yield* this.idle();
    const buffer = file.state as MappedRange | null;
    file.state = null;
    if (buffer !== null) yield* this.giveBack(buffer, buffer.pinned);
    return 0;
  }

  override *remove(_why: RemoveReason): Task {
    this.stop(-ENODEV);
    yield* this.idle();
  }

  protected stop(result: number): undefined {
    this.registers.write32(Register.doorbell, Command.stop);
    this.current?.done(result);
  }
}

const LENGTH = 2 * 4096;

/** Reads, writes, and closes while a third transfer is under way. */
export const portExample: ExampleProgram = function* (program, device) {
  const mapped = program.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const start = typeof mapped === 'number' ? mapped : yield* mapped;
  if (start < 0) return -ENOMEM;
  const fd = yield* program.open(`/dev/${device}`);
  if (fd < 0) return fd;
  let n = yield* program.ioctl(fd, PortIoctl.register, { start, length: LENGTH });
  for (const command of [PortIoctl.read, PortIoctl.write, PortIoctl.post]) {
    if (n >= 0) n = yield* program.ioctl(fd, command, { start: 0, length: LENGTH });
  }
  const closed = yield* program.close(fd);
  return n < 0 ? n : closed;
};
