/**
 * The driver of my-device: buffers made of a program's own memory, jobs on them, and fences to wait for.
 *
 * A buffer stays pinned and mapped for as long as it has its handle. It may be destroyed while jobs use it: the handle is gone at
 * once, the pages go back when the last of these jobs has ended.
 */
import type { CharFile, DeviceTimer, MappedRange, Task, Transfer } from '@pincushion/driver';
import { CharDevices, DeviceWork, DmaMapper, Driver, Gup, Interrupts, Registers, driver } from '@pincushion/driver';
import { DmaDirection, EINVAL, EIO, ENODEV, ENOENT, ENOTTY, ETIMEDOUT } from '@pincushion/driver';
import { FOLL_LONGTERM, FOLL_WRITE, PAGE_SIZE } from '@pincushion/driver';
import { z } from 'zod';
import { CommandRing } from './command-ring';
import { COMMAND_WORDS, IDS, Operation, RING_ENTRIES } from './my-device.hardware';
import type { CreateRequest, Job } from './my-device.library';
import { MyDeviceIoctl } from './my-device.library';

/** The largest buffer, bytes. */
const LENGTH_MAX = 1 << 24;
/** A job that takes longer has lost its interrupt, or the engine hangs. */
const Config = z.strictObject({ timeoutMs: z.int().min(1).max(60_000).default(1000) });

interface Buffer {
  readonly mapped: MappedRange;
  /** Jobs that use it and have not been seen to end. */
  readonly jobs: Set<Transfer>;
}

/** What belongs to one open of the device. */
interface Client {
  readonly buffers: Map<number, Buffer>;
  nextHandle: number;
}

@driver({
  name: 'my-device',
  api: 1,
  match: [IDS],
  config: Config,
  // In the order of the constructor's parameters. With decorator metadata this line may go.
  deps: [Gup, DmaMapper, Registers, Interrupts, CharDevices, DeviceWork],
})
export class MyDeviceDriver extends Driver<typeof Config> {
  private ring!: CommandRing;
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
    const commands = this.dma.coherent(RING_ENTRIES * COMMAND_WORDS * 4, 'command ring');
    if (commands === null) throw new Error('no memory for the command ring');
    this.own(commands);
    const fences = this.dma.coherent(PAGE_SIZE, 'fences');
    if (fences === null) throw new Error('no memory for the fences');
    this.own(fences);
    this.ring = new CommandRing(this.registers, commands, fences);
    const late = (): undefined => {
      if (!this.ring.reap()) this.restart(-ETIMEDOUT); // else only the interrupt was lost
      this.watch();
    };
    this.watchdog = this.own(this.work.timer('watchdog', late));
    const fencePassed = (): undefined => {
      if (this.ring.reap()) this.watch();
    };
    this.own(this.interrupts.request(0, 'fence', fencePassed));
    this.ring.start();
    this.own(this.chars.register(this.device.name, this));
  }

  *open(file: CharFile): Task<number> {
    file.state = { buffers: new Map(), nextHandle: 1 } satisfies Client;
    return 0;
  }

  *ioctl(file: CharFile, command: number, arg: unknown): Task<number> {
    const client = file.state as Client;
    if (command === MyDeviceIoctl.create) return yield* this.create(file, client, arg as CreateRequest);
    if (command === MyDeviceIoctl.destroy) return yield* this.destroy(client, arg as number);
    if (command === MyDeviceIoctl.submit) return yield* this.submit(client, arg as Job);
    if (command !== MyDeviceIoctl.wait) return -ENOTTY;
    const job = this.ring.look(arg as number);
    return typeof job === 'number' ? job : yield* job.ended();
  }

  private *create({ mm }: CharFile, client: Client, { address, length }: CreateRequest): Task<number> {
    if (address % PAGE_SIZE !== 0 || length % PAGE_SIZE !== 0 || length > LENGTH_MAX) return -EINVAL;
    const pinned = yield* this.gup.pinRange({ mm, address, length }, FOLL_WRITE | FOLL_LONGTERM);
    if (typeof pinned === 'number') return pinned;
    const mapped = this.dma.mapRange(this.own(pinned), DmaDirection.bidirectional);
    if (typeof mapped === 'number') {
      yield* this.giveBack(pinned);
      return mapped;
    }
    const handle = client.nextHandle++;
    client.buffers.set(handle, { mapped: this.own(mapped), jobs: new Set() });
    return handle;
  }

  private *destroy(client: Client, handle: number): Task<number> {
    const buffer = client.buffers.get(handle);
    if (buffer === undefined) return -ENOENT;
    client.buffers.delete(handle);
    for (const job of buffer.jobs) yield* job.ended();
    yield* this.giveBack(buffer.mapped, buffer.mapped.pinned); // in this order: the mapping stands on the pin
    return 0;
  }

  private *submit(client: Client, job: Job): Task<number> {
    const { ring } = this;
    for (let { oldest } = ring; ring.full && oldest !== null; { oldest } = ring) yield* oldest.ended();
    if (this.device.state !== 'bound') return -ENODEV;
    // Looked up after the wait: meanwhile the program may have destroyed them.
    const to = client.buffers.get(job.to);
    const from = job.operation === 'copy' ? client.buffers.get(job.from ?? 0) : to;
    if (to === undefined || from === undefined) return -ENOENT;
    const source = place(from, job.operation === 'copy' ? (job.fromOffset ?? 0) : job.toOffset, job.length);
    const destination = place(to, job.toOffset, job.length);
    if (source < 0 || destination < 0) return -EINVAL;
    const transfer = this.track(job.operation);
    remember(to, transfer);
    remember(from, transfer);
    const operation = Operation[job.operation];
    const fence = ring.submit({ operation, bytes: job.length, source, destination, value: job.value ?? 0 }, transfer);
    if (!this.watchdog.pending) this.watch();
    return fence;
  }

  /** The last close: what the program has not destroyed itself. */
  *release(file: CharFile): Task<number> {
    const client = file.state as Client;
    for (const handle of client.buffers.keys()) yield* this.destroy(client, handle);
    return 0;
  }

  override *reset(): Task {
    this.restart(-EIO);
  }

  override *remove(): Task {
    this.ring.abort(-ENODEV);
    this.watchdog.cancel();
    yield* this.idle();
  }

  /** The engine forgets its jobs, and whoever waits for one goes on. */
  private restart(result: number): void {
    this.ring.abort(result);
    this.ring.start();
  }

  /** From now on the oldest job has the whole time. */
  private watch(): void {
    if (this.ring.oldest === null) this.watchdog.cancel();
    else this.watchdog.start(this.config.timeoutMs * 1_000_000);
  }
}

/** The bus address of a range of a buffer, or -EINVAL. */
function place({ mapped }: Buffer, offset: number, length: number): number {
  return offset >= 0 && length > 0 && offset + length <= mapped.length ? mapped.iova + offset : -EINVAL;
}

/** Jobs that have ended are forgotten on this occasion: ended() of a job that is done returns at once. */
function remember({ jobs }: Buffer, transfer: Transfer): void {
  if (jobs.size >= 2 * RING_ENTRIES) for (const job of [...jobs].slice(0, RING_ENTRIES)) jobs.delete(job);
  jobs.add(transfer);
}
