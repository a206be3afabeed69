/**
 * The driver of my-device: memory regions that stay pinned and mapped for as long as they are registered, and a queue pair for each
 * program that has the device open.
 *
 * A region is given back in this order: the hardware forgets its key, then it is unmapped, then unpinned. The order is what keeps a
 * late packet from landing in memory that belongs to somebody else by then.
 */
import type { CharFile, DeviceTimer, MapRequest, MappedRange, Task, VmaBacking } from '@pincushion/driver';
import { CharDevices, DeviceWork, DmaMapper, Driver, Gup, Interrupts, Registers, driver } from '@pincushion/driver';
import { DmaDirection, EACCES, EAGAIN, ECANCELED, EINVAL, EIO, ENODEV, ENOENT, ENOMEM } from '@pincushion/driver';
import { ENOSPC, ENOTTY, ETIMEDOUT, FOLL_LONGTERM, FOLL_WRITE, PROT_WRITE } from '@pincushion/driver';
import { z } from 'zod';
import { IDS, QUEUE_PAIRS, RegionCommand, Register } from './my-device.hardware';
import type { RegisterRequest, WorkRequest } from './my-device.library';
import { MyDeviceIoctl } from './my-device.library';
import { QueuePair } from './queue-pair';
import { COMPLETION_ENTRIES, COMPLETION_WORDS, REQUEST_ENTRIES, REQUEST_WORDS } from './queue-pair-state';
import { Access } from './region-table';

/** The largest region and the longest work request, bytes. */
const LENGTH_MAX = 1 << 24;
/** A work request that takes longer has lost its interrupt, or the hardware hangs. */
const Config = z.strictObject({ timeoutMs: z.int().min(1).max(60_000).default(1000) });

/** What belongs to one open of the device. */
interface Client {
  readonly pair: QueuePair;
  /** By their keys. */
  readonly regions: Map<number, MappedRange>;
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
  private readonly pairs: (QueuePair | null)[] = Array.from({ length: QUEUE_PAIRS }, () => null);
  private nextKey = 1;
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
    const late = (): undefined => {
      if (!this.reapAll()) this.stopAll(-ETIMEDOUT); // else only an interrupt was lost
      this.watch();
    };
    this.watchdog = this.own(this.work.timer('watchdog', late));
    const completed = (): undefined => {
      if (this.reapAll()) this.watch();
    };
    this.own(this.interrupts.request(0, 'completions', completed));
    this.own(this.chars.register(this.device.name, this));
  }

  *open(file: CharFile): Task<number> {
    const number = this.pairs.indexOf(null);
    if (number < 0) return -ENOSPC;
    const requests = this.dma.coherent(REQUEST_ENTRIES * REQUEST_WORDS * 4, `work requests ${number}`);
    if (requests === null) return -ENOMEM;
    this.own(requests);
    const completions = this.dma.coherent(COMPLETION_ENTRIES * COMPLETION_WORDS * 4, `completions ${number}`);
    if (completions === null) {
      yield* this.giveBack(requests);
      return -ENOMEM;
    }
    const pair = new QueuePair(number, this.registers, requests, this.own(completions));
    this.pairs[number] = pair;
    file.state = { pair, regions: new Map() } satisfies Client;
    return 0;
  }

  /** The completion queue, for programs to read. */
  mmap(file: CharFile, { prot, pageOffset }: MapRequest): VmaBacking | number {
    if ((prot & PROT_WRITE) !== 0) return -EACCES;
    if (pageOffset !== 0) return -EINVAL;
    return this.dma.mmapCoherent((file.state as Client).pair.completions);
  }

  *ioctl(file: CharFile, command: number, arg: unknown): Task<number> {
    const client = file.state as Client;
    if (command === MyDeviceIoctl.register) return yield* this.register(file, client, arg as RegisterRequest);
    if (command === MyDeviceIoctl.deregister) return yield* this.deregister(client, arg as number);
    if (command === MyDeviceIoctl.post) return yield* this.post(client.pair, arg as WorkRequest);
    if (command === MyDeviceIoctl.wait) return yield* this.wait(client.pair, arg as number);
    return -ENOTTY;
  }

  /** A region that nobody may write is pinned for reading only, and the hardware may only read it. */
  private *register({ mm }: CharFile, client: Client, { address, length, access }: RegisterRequest): Task<number> {
    if (!(length > 0 && length <= LENGTH_MAX)) return -EINVAL;
    if ((access & Access.remoteWrite) !== 0 && (access & Access.localWrite) === 0) return -EINVAL;
    const writable = (access & Access.localWrite) !== 0;
    const flags = FOLL_LONGTERM | (writable ? FOLL_WRITE : 0);
    const pinned = yield* this.gup.pinRange({ mm, address, length }, flags);
    if (typeof pinned === 'number') return pinned;
    const mapped = this.dma.mapRange(this.own(pinned), writable ? DmaDirection.bidirectional : DmaDirection.toDevice);
    if (typeof mapped === 'number') {
      yield* this.giveBack(pinned);
      return mapped;
    }
    const key = this.nextKey++;
    client.regions.set(key, this.own(mapped));
    this.registers.write64lohi(Register.regionIova, mapped.iova);
    this.registers.write32(Register.regionLength, length);
    this.registers.write32(Register.regionAccess, access);
    this.registers.write32(Register.regionKey, key);
    this.registers.write32(Register.regionCommand, RegionCommand.set);
    return key;
  }

  private *deregister({ regions }: Client, key: number): Task<number> {
    const region = regions.get(key);
    if (region === undefined) return -ENOENT;
    regions.delete(key);
    this.registers.write32(Register.regionKey, key);
    this.registers.write32(Register.regionCommand, RegionCommand.invalidate);
    yield* this.giveBack(region, region.pinned); // in this order: the mapping stands on the pin
    return 0;
  }

  /** Whether the keys are good is for the hardware to say, with the completion. */
  private *post(pair: QueuePair, request: WorkRequest): Task<number> {
    const { localOffset, remoteOffset, length } = request;
    if (!(localOffset >= 0 && remoteOffset >= 0 && length > 0 && length <= LENGTH_MAX)) return -EINVAL;
    for (let { oldest } = pair; pair.full && oldest !== null; { oldest } = pair) yield* oldest.ended();
    if (this.device.state !== 'bound') return -ENODEV;
    if (pair.failed !== 0) return -EIO;
    pair.post(request, this.track(request.operation));
    if (!this.watchdog.pending) this.watch();
    return 0;
  }

  /** Until there are more completions than the program has seen. */
  private *wait(pair: QueuePair, seen: number): Task<number> {
    if (pair.completed > seen) return 0;
    const { oldest } = pair;
    if (oldest === null) return pair.failed !== 0 ? pair.failed : -EAGAIN;
    yield* oldest.ended();
    if (this.device.state !== 'bound') return -ENODEV;
    return pair.completed > seen ? 0 : pair.failed;
  }

  /** The last close. */
  *release(file: CharFile): Task<number> {
    const client = file.state as Client;
    const { pair, regions } = client;
    pair.stop(-ECANCELED);
    this.pairs[pair.number] = null;
    for (const key of regions.keys()) yield* this.deregister(client, key);
    yield* this.giveBack(pair.completions, pair.requests);
    return 0;
  }

  override *reset(): Task {
    this.stopAll(-EIO);
  }

  override *remove(): Task {
    this.stopAll(-ENODEV);
    this.watchdog.cancel();
    yield* this.idle();
  }

  private reapAll(): boolean {
    let any = false;
    for (const pair of this.pairs) if (pair?.reap() === true) any = true;
    return any;
  }

  /** All queue pairs are in error from now on; programs open the device again. */
  private stopAll(result: number): void {
    for (const pair of this.pairs) pair?.stop(result);
  }

  /** From now on the requests that are outstanding have the whole time. */
  private watch(): void {
    if (this.pairs.some((pair) => pair !== null && pair.oldest !== null)) {
      this.watchdog.start(this.config.timeoutMs * 1_000_000);
    } else {
      this.watchdog.cancel();
    }
  }
}
