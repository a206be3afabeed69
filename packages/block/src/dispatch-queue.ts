/**
 * A hardware dispatch queue: software queues of the CPUs above, tags and the driver below.
 *
 * ```
 * insert ── a tag is free, nobody waits ──────────────────────────┐
 *    └─ software queue of the CPU ─┐                              ▼
 *         requeue list ── delay ─┐ │ in turn                   queueRq(bio, tag) ── device ── complete(tag, status)
 *                                ▼ ▼                              │  resource: back, try later        │
 *                             dispatch list first ── run ─────────┘                                  ▼
 *                                     ▲                                              tag free, next one starts, bio ends
 *                                     └── completePart, requeue
 * ```
 * A bio without a tag waits; the kernel lets its submitter sleep, which may not be one that can. A driver that has no
 * resources gets the bio again when something has completed, or after three milliseconds.
 * Every started bio has a deadline. When it has passed, the driver's `timedOut` says what becomes of it.
 * Left out on purpose: schedulers, sharing tags between queues, reserved tags, CPUs that go offline.
 * Source: Linux 6.18 block/blk-mq.c (blk_mq_submit_bio, blk_mq_dispatch_rq_list, blk_mq_requeue_request,
 * blk_mq_quiesce_queue, blk_mq_timeout_work, blk_mq_end_request), block/blk-mq-sched.c (blk_mq_do_dispatch_ctx).
 */
import { Context, Timer } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { Bio } from './bio';
import { bioEndIo } from './end';
import { HardwareQueue } from './hardware-queue';
import { blkUpdateRequest } from './partial';
import { RequestDeadlines } from './request-deadlines';
import type { TimeoutAnswer } from './request-deadlines';
import { SoftwareQueue } from './software-queue';
import { BlkStatus } from './status';

/** BLK_MQ_RESOURCE_DELAY. */
const RESOURCE_DELAY_NS = 3_000_000;
/** Imported bindings are getters once compiled; the hot functions read constants of the module. */
const OK = BlkStatus.ok;
const RESOURCE = BlkStatus.resource;
const DEV_RESOURCE = BlkStatus.devResource;
const endIo = bioEndIo;

/** What a driver does for its queues (struct blk_mq_ops). Any context; none may sleep. */
export interface QueueOps {
  /**
   * Gives a bio to the device under a tag. `ok`: the driver owes `complete` for the tag, and may have called it already;
   * `resource`, `devResource`: not now, it comes again; anything else ends the bio.
   */
  queueRq(bio: Bio, tag: number): number;
  /** A bio has been with the device for longer than the timeout (ops->timeout). Softirq. Absent: it goes on waiting. */
  timedOut?(bio: Bio, tag: number): TimeoutAnswer;
  /** Takes completions without an interrupt: how many (ops->poll). */
  poll?(): number;
}

export interface QueueSetup {
  /** Tags: bios with the device at a time. */
  readonly depth: number;
  /** How long a bio may be with the device; for ever when absent. */
  readonly timeoutNs?: number;
}

export class DispatchQueue {
  readonly depth: number;
  private readonly tags: HardwareQueue;
  /** By CPU; made when a CPU has to wait for the first time. */
  private readonly staging: (SoftwareQueue | undefined)[] = [];
  private nextCpu = 0;
  private staged = 0;
  /** What goes before the software queues: bios that were with the driver already. */
  private dispatch: Bio[] = [];
  private requeued: Bio[] = [];
  private requeueDueNs = 0;
  private quiesced = false;
  /** The driver has no resources: nothing starts until a bio completes, or the timer fires. */
  private starved = false;
  private isRunning = false;
  private readonly deadlines: RequestDeadlines;
  private readonly requeueTimer: Timer;
  private readonly starvedTimer: Timer;

  /** @param name in reports and of timers, `nvme0 queue 1` */
  constructor(
    private readonly world: World,
    readonly name: string,
    setup: QueueSetup,
    private readonly ops: QueueOps,
  ) {
    this.depth = setup.depth;
    this.tags = new HardwareQueue(setup.depth);
    this.deadlines = new RequestDeadlines(world, `${name}: timeout`, setup.timeoutNs ?? Infinity, this.tags, ops);
    this.requeueTimer = new Timer(world, `${name}: requeue`, Context.softirq, () => {
      this.kickRequeueList();
      return undefined;
    });
    this.starvedTimer = new Timer(world, `${name}: resources`, Context.softirq, () => {
      this.runAgain();
      return undefined;
    });
  }

  /** Takes a bio from its disk: to the driver at once, or in line. Any context. */
  insert(bio: Bio): void {
    if (
      this.staged === 0 &&
      this.dispatch.length === 0 &&
      !this.quiesced &&
      !this.starved &&
      this.tags.inFlight < this.depth
    ) {
      this.start(bio);
      return;
    }
    const software = (this.staging[bio.cpu] ??= new SoftwareQueue());
    if (software.push(bio)) this.staged++;
    this.run();
  }

  /** The device is done with a bio: its tag is free, whoever waits starts, and the bio ends. Any context. */
  complete(tag: number, status: number): void {
    const bio = this.giveTag(tag);
    this.runAgain();
    if (bio !== null) endIo(bio, status);
  }

  /**
   * The device has done the first `bytes` bytes of a bio, whole blocks. With status `ok` the rest is sent again, else it
   * ends with the status. Any context.
   */
  completePart(tag: number, bytes: number, status: number): void {
    const bio = this.giveTag(tag);
    // Without data there is no part of it: the status is that of all.
    const rest = bio === null || (bio.bytes === 0 && status !== OK) ? bio : blkUpdateRequest(bio, bytes);
    if (rest !== null && status === OK) this.dispatch.push(rest);
    this.runAgain();
    if (rest !== null && status !== OK) endIo(rest, status);
  }

  /** The driver wants a bio again, `delayNs` from now or when others are due: its tag is free (blk_mq_requeue_request). Any context. */
  requeue(tag: number, delayNs = 0): void {
    const bio = this.giveTag(tag);
    if (bio !== null) this.requeued.push(bio);
    const dueNs = this.world.now + delayNs;
    if (this.requeueTimer.pending && this.requeueDueNs <= dueNs) return;
    this.requeueDueNs = dueNs;
    this.requeueTimer.start(delayNs);
  }

  /** No bio goes to the driver from now on; what is with the device completes (blk_mq_quiesce_queue). Any context. */
  quiesce(): void {
    this.quiesced = true;
  }

  /** Bios go to the driver again, those that waited first. Any context. */
  unquiesce(): void {
    this.quiesced = false;
    this.kickRequeueList();
  }

  /** The device goes: nothing of the queue fires any more. All bios must have ended. Any context. */
  close(): void {
    this.requeueTimer.cancel();
    this.starvedTimer.cancel();
    this.deadlines.stop();
  }

  /** The bio under a tag; null when the tag is free or out of range. */
  bioOf(tag: number): Bio | null {
    return this.tags.bioOf(tag);
  }

  /** Takes completions without an interrupt: how many. Any context. */
  poll(): number {
    return this.ops.poll === undefined ? 0 : this.ops.poll();
  }

  /** Bios with the device. */
  get inFlight(): number {
    return this.tags.inFlight;
  }

  /** Requests that wait for a tag, for resources or for their delay. */
  get waiting(): number {
    return this.staged + this.dispatch.length + this.requeued.length;
  }

  private start(bio: Bio): void {
    const tag = this.tags.take(bio);
    this.deadlines.started(tag);
    const status = this.ops.queueRq(bio, tag);
    if (status !== OK) this.refused(bio, tag, status);
  }

  private refused(bio: Bio, tag: number, status: number): void {
    this.giveTag(tag);
    if (status !== RESOURCE && status !== DEV_RESOURCE) {
      endIo(bio, status);
      return;
    }
    this.dispatch.unshift(bio);
    this.starved = true;
    // What is with the device brings resources back when it completes; without it only time does.
    if (status === RESOURCE || this.tags.inFlight === 0) this.starvedTimer.start(RESOURCE_DELAY_NS);
  }

  private giveTag(tag: number): Bio | null {
    const bio = this.tags.bioOf(tag);
    this.tags.release(tag);
    this.deadlines.ended(tag);
    return bio;
  }

  private runAgain(): void {
    if (this.starved) {
      this.starved = false;
      this.starvedTimer.cancel();
    }
    if (this.staged !== 0 || this.dispatch.length !== 0) this.run();
  }

  /** Starts what waits while there are tags. A driver that completes at once finds the loop running. */
  private run(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    while (!this.quiesced && !this.starved && this.tags.inFlight < this.depth) {
      const bio = this.next();
      if (bio === null) break;
      this.start(bio);
    }
    this.isRunning = false;
  }

  /** The dispatch list first, then the CPUs in turn, one each. */
  private next(): Bio | null {
    const first = this.dispatch.shift();
    if (first !== undefined) return first;
    if (this.staged === 0) return null;
    const { staging } = this;
    for (let i = 0; i < staging.length; i++) {
      const cpu = (this.nextCpu + i) % staging.length;
      const bio = staging[cpu]?.shift() ?? null;
      if (bio === null) continue;
      this.nextCpu = cpu + 1;
      this.staged--;
      return bio;
    }
    return null;
  }

  private kickRequeueList(): void {
    this.requeueTimer.cancel();
    const { requeued } = this;
    this.requeued = [];
    this.dispatch = this.dispatch.length === 0 ? requeued : [...requeued, ...this.dispatch];
    this.runAgain();
  }
}
