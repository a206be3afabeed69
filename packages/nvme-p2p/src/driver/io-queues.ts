/**
 * The I/O queue pairs of a controller: how many there are, what they are made of, and creating and deleting them.
 *
 *   negotiate   Set Features: Number of Queues; one for each CPU, as far as vectors, controller and configuration allow, and
 *               those to poll behind them
 *   create      for each: Create CQ, then Create SQ; then Doorbell Buffer Config, if the controller has shadow doorbells
 *   delete      all submission queues, then all completion queues: one with users cannot be deleted
 *
 * A queue pair keeps its memory and its vector over resets. The completions of queue pair n come on vector n, which is routed
 * to CPU n - 1.
 * Left out: write queues and read queues (parameter write_queues), queues in the controller's memory.
 * Source followed: `nvme_setup_io_queues`, `nvme_create_io_queues`, `nvme_create_queue`, `nvme_delete_io_queues`,
 * `nvme_dbbuf_set` (Linux 6.18, drivers/nvme/host/pci.c).
 */
import type { Cpus, DmaMapper, Interrupts, Log, Managed, Registers, Task, World } from '@pincushion/driver';
import { ETIMEDOUT } from '@pincushion/driver';
import { AdminOpcode, DSM_RANGE_BYTES, Feature, QUEUE_CONTIGUOUS, QUEUE_INTERRUPTS } from '../spec/opcodes';
import { CQE_BYTES, REG_DOORBELLS, SQE_BYTES } from '../spec/registers';
import { statusText } from './admin-calls';
import type { AdminCalls } from './admin-calls';
import type { AdminQueue } from './admin-queue';
import type { ControllerControl } from './controller-control';
import type { NvmeDriverConfig } from './driver-config';
import { OACS_SHADOW_DOORBELLS } from './identity';
import type { ControllerIdentity } from './identity';
import { takesSgls, transferPages } from './namespace-limits';
import { QueuePair } from './queue-pair';
import type { QueueOwner, SharedMemory } from './queue-setup';
import { SHADOW_BYTES, ShadowDoorbells } from './shadow-doorbells';

/** What queue pairs are made with. */
export interface QueueParts {
  readonly world: World;
  /** Path of the device. */
  readonly path: string;
  readonly config: NvmeDriverConfig;
  readonly cpus: Cpus;
  readonly registers: Registers;
  readonly interrupts: Interrupts;
  readonly dma: DmaMapper;
  readonly control: ControllerControl;
  readonly admin: AdminQueue;
  readonly calls: AdminCalls;
  readonly log: Log;
  readonly owner: QueueOwner;
  /** Memory for both sides that lasts as long as the device. */
  coherent(bytes: number, what: string): SharedMemory;
  own(resource: Managed): void;
}

export class IoQueues {
  readonly pairs: QueuePair[] = [];
  private shadow: ShadowDoorbells | null = null;

  constructor(private readonly parts: QueueParts) {}

  /** Queue pairs with interrupts; those to poll are behind them. */
  get interrupted(): number {
    return this.pairs.filter(({ isPolled }) => !isPolled).length;
  }

  /** Makes the queue pairs when there are none yet, and creates them all on the controller. Task context. 0 or -errno. */
  *setUp(identity: ControllerIdentity): Task<boolean> {
    const count = yield* this.negotiate();
    const polled = Math.min(this.parts.config.pollQueues, count - 1);
    if (this.pairs.length === 0) {
      for (let id = 1; id <= count; id++) this.pairs.push(this.make(id, id > count - polled, identity));
    } else if (count < this.pairs.length) {
      return false;
    }
    for (const pair of this.pairs) yield* this.create(pair);
    if ((identity.oacs & OACS_SHADOW_DOORBELLS) !== 0) yield* this.setUpShadow();
    return true;
  }

  /** Failures are only noted; one that is never answered ends the attempt. Task context. */
  *delete(): Task {
    for (const opcode of [AdminOpcode.deleteSq, AdminOpcode.deleteCq]) {
      for (const { id } of this.pairs) {
        const { status } = yield* this.parts.admin.run({ opcode, cdw10: id });
        if (status !== 0) this.parts.log.note(`queue ${id} could not be deleted: ${statusText(status)}`);
        if (status === -ETIMEDOUT) return;
      }
    }
  }

  goLive(): void {
    for (const pair of this.pairs) pair.goLive();
  }

  freeze(): void {
    for (const pair of this.pairs) pair.freeze();
  }

  takeBack(): void {
    for (const pair of this.pairs) pair.takeBack();
  }

  fail(status: number): void {
    for (const pair of this.pairs) pair.fail(status);
  }

  private *negotiate(): Task<number> {
    const { config, cpus, interrupts, calls } = this.parts;
    const wanted = Math.min(cpus.count, config.queuePairs, interrupts.vectors - 1) + config.pollQueues;
    const granted = yield* calls.setFeature(Feature.numberOfQueues, (wanted - 1) | ((wanted - 1) << 16));
    return Math.min(wanted, (granted & 0xffff) + 1, (granted >>> 16) + 1);
  }

  private make(id: number, isPolled: boolean, identity: ControllerIdentity): QueuePair {
    const { parts } = this;
    const { world, path, config, control } = parts;
    const depth = Math.min(config.queueDepth, control.queueEntriesMax);
    const stride = control.doorbellStride;
    // One qword for each page after the first, and at least room for the range of a discard.
    const listBytes = Math.max(8 * transferPages(identity), DSM_RANGE_BYTES);
    const pair = new QueuePair(
      world,
      `${path}: queue ${id}`,
      {
        id,
        isPolled,
        depth,
        submissions: parts.coherent(depth * SQE_BYTES, `submission queue ${id}`),
        completions: parts.coherent(depth * CQE_BYTES, `completion queue ${id}`),
        lists: parts.coherent(depth * listBytes, `PRP lists of queue ${id}`),
        listBytes,
        sglThreshold: takesSgls(identity, config) ? config.sglThreshold : Infinity,
        tailDoorbell: REG_DOORBELLS + 2 * id * stride,
        headDoorbell: REG_DOORBELLS + (2 * id + 1) * stride,
        retriesMax: config.retries,
        timeoutNs: config.ioTimeout,
        traceSetup: world.trace.point('nvme:setup', ['queue', 'cid', 'opcode', 'bioId']),
        traceComplete: world.trace.point('nvme:complete', ['queue', 'cid', 'status', 'bioId']),
      },
      parts.registers,
      parts.dma,
      parts.owner,
    );
    if (isPolled) return pair;
    const handler = (): undefined => {
      pair.poll();
    };
    parts.own(parts.interrupts.request(id, `queue ${id}`, handler, id - 1));
    return pair;
  }

  private *create(pair: QueuePair): Task {
    const { calls } = this.parts;
    const cdw10 = pair.id | ((pair.depth - 1) << 16);
    yield* calls.command({
      opcode: AdminOpcode.createCq,
      prp1: pair.completionsIova,
      cdw10,
      cdw11: pair.isPolled ? QUEUE_CONTIGUOUS : (pair.id << 16) | QUEUE_INTERRUPTS | QUEUE_CONTIGUOUS,
    });
    yield* calls.command({
      opcode: AdminOpcode.createSq,
      prp1: pair.submissionsIova,
      cdw10,
      cdw11: (pair.id << 16) | QUEUE_CONTIGUOUS,
    });
  }

  /** Without them the doorbell registers do as well. */
  private *setUpShadow(): Task {
    const { parts } = this;
    this.shadow ??= new ShadowDoorbells(
      parts.coherent(SHADOW_BYTES, 'shadow doorbells'),
      parts.coherent(SHADOW_BYTES, 'event indices'),
    );
    const { shadow } = this;
    shadow.clear();
    const { status } = yield* parts.calls.attempt({
      opcode: AdminOpcode.doorbellBufferConfig,
      prp1: shadow.shadowIova,
      prp2: shadow.eventsIova,
    });
    if (status !== 0) parts.log.note(`shadow doorbells could not be set: ${statusText(status)}`);
    for (const pair of this.pairs) pair.shadow = status === 0 ? shadow : null;
  }
}
