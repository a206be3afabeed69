/**
 * The NVMe driver: brings a controller up, makes a queue pair for every CPU and a disk of every namespace, resets the
 * controller when it stops answering, and lets go of everything when it is removed.
 *
 * Bring-up, as Linux does it: disable; admin queues; enable; Identify Controller; Set Features (timestamp, host behaviour,
 * number of queues); per CPU Create CQ, then Create SQ; asynchronous events; active namespaces, and Identify for each.
 *
 *   timeout -> Abort -> (as long again) -> reset: disable, take commands back, bring up, issue them again
 *   reset fails, or the device is pulled out -> every bio ends, the disks are gone
 *
 * Left out: write queues, shadow doorbells, host memory buffer, APST, namespaces that come and go.
 * Source followed: `nvme_probe`, `nvme_reset_work`, `nvme_setup_io_queues`, `nvme_dev_disable`, `nvme_remove` (Linux 6.18,
 * drivers/nvme/host/pci.c), `nvme_init_ctrl_finish`, `nvme_scan_work` (core.c).
 */
import type { CharFile, CoherentBuffer, DeviceWorkItem, ManagedCoherent, RemoveReason, Task } from '@pincushion/driver';
import {
  BlkStatus,
  BlockDisks,
  CharDevices,
  Cpus,
  DeviceClock,
  DeviceWork,
  DmaMapper,
  Driver,
  EIO,
  ENOMEM,
  Gup,
  Interrupts,
  Log,
  PincushionError,
  Registers,
  WaitQueue,
  driver,
  errnoName,
} from '@pincushion/driver';
import {
  AdminOpcode,
  Cns,
  DSM_RANGE_BYTES,
  Feature,
  IDENTIFY_BYTES,
  QUEUE_CONTIGUOUS,
  QUEUE_INTERRUPTS,
} from '../spec/opcodes';
import { CQE_BYTES, REG_DOORBELLS, SQE_BYTES } from '../spec/registers';
import { ADMIN_DEPTH, AdminQueue } from './admin-queue';
import type { AdminCommand, AdminReply } from './admin-queue';
import { ControllerControl } from './controller-control';
import { NvmeDriverConfig } from './driver-config';
import {
  ONCS_DSM,
  ONCS_TIMESTAMP,
  ONCS_WRITE_ZEROES,
  readControllerIdentity,
  readNamespaceIdentity,
  readNamespaceList,
} from './identity';
import type { ControllerIdentity } from './identity';
import { NamespaceDisk } from './namespace-disk';
import { adminPassthrough } from './passthrough';
import { QueuePair } from './queue-pair';
import type { QueueOwner } from './queue-pair';

const PAGE = 4096;
/** Transfers of a controller without a limit are held to this: one list page. */
const MDTS_MAX = 9;
/** Blocks of one Write Zeroes (NLB has 16 bits) and of one range of a discard (32 bits). */
const ZEROES_BLOCKS_MAX = 0x10000;
const RANGE_BLOCKS_MAX = 0xffffffff;
/** log2 of the bytes of a logical block that a disk can have, up to a page (nvme_update_disk_info). */
const LBA_SHIFT_MIN = 9;
const LBA_SHIFT_MAX = 12;
/** Asynchronous Event Configuration, as Linux sets it: namespace attribute notices. */
const ASYNC_EVENTS = 0x100;

const MATCH = Object.freeze([
  { vendor: 0x1b36, device: 0x0010 },
  { vendor: 0x144d, device: 0xa808 },
]);

@driver({
  name: 'nvme',
  api: 1,
  match: MATCH,
  config: NvmeDriverConfig,
  deps: [Registers, DmaMapper, Interrupts, DeviceWork, DeviceClock, BlockDisks, CharDevices, Gup, Cpus, Log],
})
export class NvmeDriver extends Driver<typeof NvmeDriverConfig> implements QueueOwner {
  /** Who the controller says it is. Set in `probe`. */
  identity: ControllerIdentity | null = null;
  /** Resets since `probe`. */
  resets = 0;
  /** Aborts sent since `probe`. */
  aborts = 0;
  private readonly queues: QueuePair[] = [];
  private readonly disks: NamespaceDisk[] = [];
  private control!: ControllerControl;
  private admin!: AdminQueue;
  private resetWork!: DeviceWorkItem;
  private resetDone!: WaitQueue;
  private resetting = false;
  private dead = false;

  constructor(
    private readonly registers: Registers,
    private readonly dma: DmaMapper,
    private readonly interrupts: Interrupts,
    private readonly work: DeviceWork,
    private readonly clock: DeviceClock,
    private readonly blockDisks: BlockDisks,
    private readonly charDevices: CharDevices,
    private readonly gup: Gup,
    private readonly cpus: Cpus,
    private readonly log: Log,
  ) {
    super();
  }

  override *probe(): Task {
    const { config, device } = this;
    this.control = new ControllerControl(this.registers, this.clock);
    this.resetDone = new WaitQueue(device.world, `${device.path}: reset`);
    this.resetWork = this.own(this.work.work('reset', () => this.resetController()));
    const timer = this.own(
      this.work.timer('admin timeout', () => {
        this.admin.checkTimeouts();
      }),
    );
    this.admin = new AdminQueue(
      device.world,
      device.path,
      this.coherent(ADMIN_DEPTH * SQE_BYTES, 'admin submission queue'),
      this.coherent(ADMIN_DEPTH * CQE_BYTES, 'admin completion queue'),
      this.registers,
      this.clock,
      timer,
      config.adminTimeout,
    );
    this.own(
      this.interrupts.request(
        0,
        'admin',
        () => {
          this.admin.poll();
        },
        0,
      ),
    );
    this.require(yield* this.enable(), 'could not be enabled');
    yield* this.setUp();
    const count = yield* this.negotiateQueues();
    const polled = Math.min(config.pollQueues, count - 1);
    for (let id = 1; id <= count; id++) this.queues.push(this.makeQueue(id, id > count - polled));
    for (const queue of this.queues) yield* this.createQueue(queue);
    yield* this.requestEvents();
    for (const queue of this.queues) queue.goLive();
    yield* this.findNamespaces();
    this.own(
      this.charDevices.register(device.name, {
        ioctl: (file, command, arg) => this.passthrough(file, command, arg),
      }),
    );
  }

  /** The disks refuse new bios already. Unless the device is gone, what is in flight completes first. */
  override *remove(why: RemoveReason): Task {
    if (why === 'surprise' || this.dead || this.control.gone) {
      this.giveUp(BlkStatus.ioerr);
      yield* this.resetDone.waitUntil(() => !this.resetting);
      yield* this.idle();
      return;
    }
    for (const disk of this.disks) yield* disk.waitIdle();
    yield* this.resetDone.waitUntil(() => !this.resetting);
    for (const queue of this.queues) queue.freeze();
    if (!this.isDead()) {
      yield* this.deleteQueues();
      const stopped = yield* this.control.shutdown();
      if (stopped < 0) this.log.note(`shutdown: ${errnoName(stopped)}`);
      yield* this.control.disable();
    }
    this.giveUp(BlkStatus.ioerr);
    yield* this.idle();
  }

  /** A removal waits until the program's buffer is given back: no mapping outlives the driver. */
  private *passthrough(file: CharFile, command: number, arg: unknown): Task<number> {
    const transfer = this.track('admin passthrough');
    try {
      return yield* adminPassthrough(this.admin, this.gup, this.dma, file, command, arg);
    } finally {
      transfer.done();
    }
  }

  override *reset(): Task {
    if (this.startReset()) yield* this.resetDone.waitUntil(() => !this.resetting);
  }

  /** Whether the driver has given the controller up. */
  get failed(): boolean {
    return this.dead;
  }

  /** Softirq. Source followed: `nvme_timeout`. */
  abort(queue: QueuePair, tag: number): void {
    this.aborts++;
    this.log.note(`I/O tag ${tag} (queue ${queue.id}) timeout, aborting`);
    const command = { opcode: AdminOpcode.abort, cdw10: queue.id | (queue.commandId(tag) << 16) };
    const sent = this.admin.send(command, this.config.adminTimeout, () => undefined);
    if (!sent) this.log.note('no room for an abort'); // The next timeout of the command resets the controller.
  }

  /** Softirq. */
  needsReset(queue: QueuePair, tag: number): void {
    this.log.note(`I/O tag ${tag} (queue ${queue.id}) timeout, reset controller`);
    this.startReset();
  }

  /** Any context. False when the controller is beyond help. */
  private startReset(): boolean {
    if (this.dead) return false;
    if (!this.resetting) {
      this.resetting = true;
      for (const queue of this.queues) queue.freeze();
      if (!this.resetWork.queue()) this.resetting = false;
    }
    return this.resetting;
  }

  private *resetController(): Task {
    this.resets++;
    const error = yield* this.restart();
    this.resetting = false;
    if (error < 0) {
      this.log.note(`reset failed: ${errnoName(error)}; removing the disks`);
      this.giveUp(BlkStatus.ioerr);
    }
    this.resetDone.wakeAll();
  }

  /** Disables the controller, takes its commands back, and brings it up again. 0 or -errno. */
  private *restart(): Task<number> {
    this.admin.close();
    const stopped = yield* this.control.disable();
    if (stopped < 0 || this.isDead()) return stopped < 0 ? stopped : -EIO;
    for (const queue of this.queues) queue.takeBack();
    const enabled = yield* this.enable();
    if (enabled < 0) return enabled;
    try {
      yield* this.setUp();
      const count = yield* this.negotiateQueues();
      if (count < this.queues.length) return -EIO;
      for (const queue of this.queues) yield* this.createQueue(queue);
      yield* this.requestEvents();
    } catch (error) {
      if (error instanceof PincushionError) return -EIO;
      throw error;
    }
    if (this.isDead()) return -EIO;
    for (const queue of this.queues) queue.goLive();
    return 0;
  }

  /** Asked anew after each sleep: a surprise removal may have come meanwhile. */
  private isDead(): boolean {
    return this.dead;
  }

  /** Nothing will complete any more: every command and every bio ends. Any context. */
  private giveUp(status: number): void {
    this.dead = true;
    this.admin.close();
    for (const disk of this.disks) disk.gone = true;
    for (const queue of this.queues) queue.fail(status);
  }

  private *enable(): Task<number> {
    const stopped = yield* this.control.disable();
    if (stopped < 0) return stopped;
    this.admin.open();
    return yield* this.control.enable(ADMIN_DEPTH, this.admin.submissionsIova, this.admin.completionsIova);
  }

  /**
   * How many I/O queue pairs there will be: as many as CPUs, vectors, the controller and the configuration allow, and those
   * to poll.
   */
  private *negotiateQueues(): Task<number> {
    const { config } = this;
    const wanted = Math.min(this.cpus.count, config.queuePairs, this.interrupts.vectors - 1) + config.pollQueues;
    const reply = yield* this.command({
      opcode: AdminOpcode.setFeatures,
      cdw10: Feature.numberOfQueues,
      cdw11: (wanted - 1) | ((wanted - 1) << 16),
    });
    return Math.min(wanted, (reply.result & 0xffff) + 1, (reply.result >>> 16) + 1);
  }

  private makeQueue(id: number, isPolled: boolean): QueuePair {
    const { device, config, control } = this;
    const depth = Math.min(config.queueDepth, control.queueEntriesMax);
    const stride = control.doorbellStride;
    // One qword for each page after the first, and at least room for the range of a discard.
    const listBytes = Math.max(8 * this.transferPages, DSM_RANGE_BYTES);
    const queue = new QueuePair(
      device.world,
      `${device.path}: queue ${id}`,
      {
        id,
        isPolled,
        depth,
        submissions: this.coherent(depth * SQE_BYTES, `submission queue ${id}`),
        completions: this.coherent(depth * CQE_BYTES, `completion queue ${id}`),
        lists: this.coherent(depth * listBytes, `PRP lists of queue ${id}`),
        listBytes,
        tailDoorbell: REG_DOORBELLS + 2 * id * stride,
        headDoorbell: REG_DOORBELLS + (2 * id + 1) * stride,
        retriesMax: config.retries,
        timeoutNs: config.ioTimeout,
        traceSetup: device.world.trace.point('nvme:setup', ['queue', 'cid', 'opcode', 'bioId']),
        traceComplete: device.world.trace.point('nvme:complete', ['queue', 'cid', 'status', 'bioId']),
      },
      this.registers,
      this.dma,
      this,
    );
    if (isPolled) return queue;
    const handler = (): undefined => {
      queue.poll();
    };
    this.own(this.interrupts.request(id, `queue ${id}`, handler, id - 1));
    return queue;
  }

  private *createQueue(queue: QueuePair): Task {
    const cdw10 = queue.id | ((queue.depth - 1) << 16);
    yield* this.command({
      opcode: AdminOpcode.createCq,
      prp1: queue.completionsIova,
      cdw10,
      cdw11: queue.isPolled ? QUEUE_CONTIGUOUS : (queue.id << 16) | QUEUE_INTERRUPTS | QUEUE_CONTIGUOUS,
    });
    yield* this.command({
      opcode: AdminOpcode.createSq,
      prp1: queue.submissionsIova,
      cdw10,
      cdw11: (queue.id << 16) | QUEUE_CONTIGUOUS,
    });
  }

  /** All submission queues, then all completion queues: one with users cannot be deleted. Failures are only noted. */
  private *deleteQueues(): Task {
    for (const opcode of [AdminOpcode.deleteSq, AdminOpcode.deleteCq]) {
      for (const queue of this.queues) {
        const reply = yield* this.admin.run({ opcode, cdw10: queue.id });
        if (reply.status !== 0) this.log.note(`queue ${queue.id} could not be deleted: status ${reply.status}`);
      }
    }
  }

  /** One request stays with the controller; when it comes back, there is news, and it is renewed. */
  private *requestEvents(): Task {
    yield* this.command({ opcode: AdminOpcode.setFeatures, cdw10: Feature.asyncEvents, cdw11: ASYNC_EVENTS });
    this.sendEventRequest();
  }

  private sendEventRequest(): void {
    this.admin.send({ opcode: AdminOpcode.asyncEventRequest }, Infinity, (reply) => {
      if (reply.status !== 0) return;
      this.log.note(`asynchronous event 0x${reply.result.toString(16)}`);
      this.sendEventRequest();
    });
  }

  /** Who is it, what time is it, and what the host understands (nothing special). Source: `nvme_init_ctrl_finish`. */
  private *setUp(): Task {
    this.identity = readControllerIdentity(yield* this.identify(Cns.controller, 0));
    if ((this.identity.oncs & ONCS_TIMESTAMP) !== 0) {
      const ms = Math.floor(this.clock.now / 1_000_000);
      yield* this.setFeatureData(Feature.timestamp, 8, [ms | 0, Math.floor(ms / 0x1_0000_0000)]);
    }
    yield* this.setFeatureData(Feature.hostBehaviour, 512, []);
  }

  /** Sets a feature that takes `bytes` of data: these words, then zeroes. */
  private *setFeatureData(id: number, bytes: number, words: readonly number[]): Task {
    const data = this.buffer(bytes);
    try {
      data.words.fill(0, 0, bytes / 4);
      data.words.set(words);
      yield* this.command({ opcode: AdminOpcode.setFeatures, prp1: data.iova, cdw10: id });
    } finally {
      data.release();
    }
  }

  private *findNamespaces(): Task {
    const { device, transferPages } = this;
    const { oncs = 0, volatileWriteCache = true } = this.identity ?? {};
    const ids = readNamespaceList(yield* this.identify(Cns.activeNamespaces, 0));
    for (const nsid of ids) {
      yield* this.identify(Cns.namespaceDescriptors, nsid);
      const { blocks, blockShift } = readNamespaceIdentity(yield* this.identify(Cns.namespace, nsid));
      if (blockShift < LBA_SHIFT_MIN || blockShift > LBA_SHIFT_MAX) {
        this.log.note(`namespace ${nsid} has blocks of 2^${blockShift} bytes: no disk is made of it`);
        continue;
      }
      const limits = {
        logicalBlockBytes: 1 << blockShift,
        maxBytes: transferPages * PAGE,
        maxPages: transferPages + 1,
        dmaAlignmentBytes: 4, // PRP1 is dword aligned; Linux: dma_alignment 3.
        maxDiscardBytes: (oncs & ONCS_DSM) === 0 ? 0 : RANGE_BLOCKS_MAX * 2 ** blockShift,
        maxWriteZeroesBytes: (oncs & ONCS_WRITE_ZEROES) === 0 ? 0 : ZEROES_BLOCKS_MAX << blockShift,
        volatileCache: volatileWriteCache,
        fua: true,
      };
      const sectorShift = blockShift - 9;
      const name = `${device.name}n${nsid}`;
      const disk = new NamespaceDisk(name, blocks * (1 << sectorShift), limits, nsid, sectorShift, this.queues);
      this.own(this.blockDisks.register(disk));
      this.disks.push(disk);
    }
  }

  /** Largest transfer in pages of 4 KiB. */
  private get transferPages(): number {
    const mdts = this.identity?.mdts ?? 0;
    return 1 << (mdts === 0 || mdts > MDTS_MAX ? MDTS_MAX : mdts);
  }

  /** An Identify structure, copied. */
  private *identify(cns: number, nsid: number): Task<Uint8Array> {
    const data = this.buffer(IDENTIFY_BYTES);
    try {
      yield* this.command({ opcode: AdminOpcode.identify, nsid, prp1: data.iova, cdw10: cns });
      return data.bytes.slice(0, IDENTIFY_BYTES);
    } finally {
      data.release();
    }
  }

  /** A command that must succeed. Task context. */
  private *command(command: AdminCommand): Task<AdminReply> {
    const reply = yield* this.admin.run(command);
    if (reply.status !== 0) {
      const status = reply.status < 0 ? errnoName(reply.status) : `status 0x${reply.status.toString(16)}`;
      throw this.problem(`refused admin command 0x${command.opcode.toString(16)}`, status, -EIO);
    }
    return reply;
  }

  private require(result: number, what: string): void {
    if (result < 0) throw this.problem(what, errnoName(result), result);
  }

  private problem(what: string, actual: string, errno: number): PincushionError {
    return new PincushionError('DRIVER_PROBE_FAILED', `the controller ${what}`, {
      device: this.device.path,
      errno,
      expected: 'a controller that answers as the specification says',
      actual,
    });
  }

  /** Memory for both sides that lasts as long as the device. */
  private coherent(bytes: number, what: string): ManagedCoherent {
    const memory = this.dma.coherent(bytes, what);
    if (memory === null) throw this.noMemory(bytes, what);
    return this.own(memory);
  }

  /** The same for the time of one command: the caller releases it. */
  private buffer(bytes: number): CoherentBuffer {
    const memory = this.dma.allocCoherent(bytes);
    if (memory === null) throw this.noMemory(bytes, 'the data of an admin command');
    return memory;
  }

  private noMemory(bytes: number, what: string): PincushionError {
    return new PincushionError('OUT_OF_MEMORY', `no ${bytes} bytes for ${what}`, {
      device: this.device.path,
      errno: -ENOMEM,
    });
  }
}
