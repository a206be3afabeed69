/**
 * The driver of my-device: a disk under `/dev`.
 *
 * Pages come pinned with the bios, from the block layer; the driver maps them for the hardware and ends each bio exactly once,
 * whatever happens. A bio that is not ended when the hardware is gone is one nobody will ever end.
 */
import type { Bio, DeviceTimer, QueueLimits, RemoveReason, Task } from '@pincushion/driver';
import { BlkStatus, BlockDisks, DeviceWork, Disk, DmaMapper, Driver, Interrupts, Registers } from '@pincushion/driver';
import { PAGE_SIZE, driver } from '@pincushion/driver';
import { z } from 'zod';
import { COMMAND_WORDS, COMPLETION_WORDS, ENTRIES, IDS, PAGES_MAX, Register } from './my-device.hardware';
import { LIST_BYTES, QueuePair } from './queue-pair';

/** When nothing has been completed for so long, the hardware hangs. */
const Config = z.strictObject({ timeoutMs: z.int().min(1).max(60_000).default(1000) });

const LIMITS: QueueLimits = {
  logicalBlockBytes: 512,
  maxBytes: (PAGES_MAX - 1) * PAGE_SIZE,
  maxPages: PAGES_MAX,
};

class QueuedDisk extends Disk {
  constructor(
    name: string,
    sectors: number,
    private readonly take: (bio: Bio) => undefined,
  ) {
    super(name, sectors, LIMITS);
  }

  override queueBio(bio: Bio): undefined {
    this.take(bio);
  }
}

@driver({
  name: 'my-device',
  api: 1,
  match: [IDS],
  config: Config,
  // In the order of the constructor's parameters. With decorator metadata this line may go.
  deps: [DmaMapper, Registers, Interrupts, BlockDisks, DeviceWork],
})
export class MyDeviceDriver extends Driver<typeof Config> {
  private queue!: QueuePair;
  private watchdog!: DeviceTimer;

  constructor(
    private readonly dma: DmaMapper,
    private readonly registers: Registers,
    private readonly interrupts: Interrupts,
    private readonly disks: BlockDisks,
    private readonly work: DeviceWork,
  ) {
    super();
  }

  override *probe(): Task {
    const submissions = this.memory(ENTRIES * COMMAND_WORDS * 4, 'submission ring');
    const completions = this.memory(ENTRIES * COMPLETION_WORDS * 4, 'completion ring');
    const lists = this.memory(ENTRIES * LIST_BYTES, 'PRP lists');
    this.queue = new QueuePair(this.registers, this.dma, submissions, completions, lists);
    const late = (): undefined => {
      if (!this.queue.reap()) this.restart(BlkStatus.timeout); // else only an interrupt was lost
      this.watch();
    };
    this.watchdog = this.own(this.work.timer('watchdog', late));
    const completed = (): undefined => {
      if (this.queue.reap()) this.watch();
    };
    this.own(this.interrupts.request(0, 'completions', completed));
    const sectors = this.registers.read32(Register.capacity);
    if (sectors === 0) throw new Error('the disk has no sectors');
    const take = (bio: Bio): undefined => {
      this.queue.submit(bio);
      if (!this.watchdog.pending) this.watch();
    };
    this.queue.start();
    this.own(this.disks.register(new QueuedDisk(this.device.name, sectors, take)));
  }

  private memory(bytes: number, what: string) {
    const memory = this.dma.coherent(bytes, what);
    if (memory === null) throw new Error(`no memory for the ${what}`);
    return this.own(memory);
  }

  override *reset(): Task {
    this.restart(BlkStatus.ioerr);
  }

  override *remove(why: RemoveReason): Task {
    this.watchdog.cancel();
    this.queue.stop(why === 'surprise' ? BlkStatus.offline : BlkStatus.ioerr);
  }

  private restart(status: number): void {
    this.queue.stop(status);
    this.queue.start();
  }

  /** From now on the hardware has the whole time for its next completion. */
  private watch(): void {
    if (this.queue.inFlight > 0) this.watchdog.start(this.config.timeoutMs * 1_000_000);
    else this.watchdog.cancel();
  }
}
