/**
 * The namespaces of a controller and their disks, which come, go and change while the machine runs.
 *
 *   scan     limits of the command set; the log of changed namespaces, if there was such an event; the active list;
 *            for each id on it: descriptors, Identify Namespace
 *     new             a disk is made
 *     known           size and format are read again, and changed while the disk is frozen; another namespace under the same
 *                     id takes the old disk's place
 *     not on the list the disk goes: it refuses new bios, and those in flight end as the controller ends them
 *
 * A scan runs in a thread of its own, one at a time: at the end of a probe and of a reset, after a notice of the controller,
 * and after a command of a program that may have changed a namespace.
 * Left out: shared namespaces and multipath, metadata (such a namespace gets no disk), command sets other than NVM.
 * Source followed: `nvme_scan_work`, `nvme_scan_ns_list`, `nvme_scan_ns`, `nvme_validate_ns`, `nvme_update_ns_info_block`,
 * `nvme_ns_remove`, `nvme_clear_changed_ns_log` (Linux 6.18, drivers/nvme/host/core.c).
 */
import type { Log, Managed, QueueLimits, Task, World } from '@pincushion/driver';
import { Mutex, PincushionError, WaitQueue, freezeDisk, unfreezeDisk } from '@pincushion/driver';
import { Cns, IDENTIFY_BYTES, LogPage } from '../spec/opcodes';
import type { AdminCalls } from './admin-calls';
import { statusText } from './admin-calls';
import type { NvmeDriverConfig } from './driver-config';
import {
  CTRATT_EXTENDED_FORMATS,
  readCommandSetLimits,
  readNamespaceDescriptors,
  readNamespaceFormat,
  readNamespaceList,
} from './identity';
import type { CommandSetLimits, ControllerIdentity, NamespaceFormat } from './identity';
import { NamespaceDisk } from './namespace-disk';
import { namespaceLimits } from './namespace-limits';
import type { QueuePair } from './queue-pair';

/** log2 of the bytes of a logical block that a disk can have, up to a page. */
const LBA_SHIFT_MIN = 9;
const LBA_SHIFT_MAX = 12;
/** Ids in a list; a full one may have a next. */
const LIST_IDS = IDENTIFY_BYTES / 4;
const NO_LIMITS: CommandSetLimits = Object.freeze({ wzsl: 0, dmrl: 0, dmrsl: 0 });

/** What namespaces are made with. */
export interface NamespaceParts {
  readonly world: World;
  /** Name and path of the device. */
  readonly name: string;
  readonly path: string;
  readonly config: NvmeDriverConfig;
  readonly calls: AdminCalls;
  readonly log: Log;
  readonly queues: readonly QueuePair[];
  /** Makes `/dev/<name>` of a disk; owned by the device until `forget`. */
  register(disk: NamespaceDisk): Managed;
  forget(registration: Managed): Task;
}

export class Namespaces {
  readonly disks: NamespaceDisk[] = [];
  /** Identify Controller, as read last. */
  identity: ControllerIdentity | null = null;
  private readonly registrations = new Map<NamespaceDisk, Managed>();
  private readonly lock: Mutex;
  private readonly ended: WaitQueue;
  private scanning = false;
  private wanted = false;
  private closed = false;
  /** The controller has said that namespaces changed, and its log of them has not been read. */
  private changeNoticed = false;

  constructor(private readonly parts: NamespaceParts) {
    this.lock = new Mutex(parts.world, `${parts.path}: namespaces`);
    this.ended = new WaitQueue(parts.world, `${parts.path}: scan of namespaces`);
  }

  /** The first scan. Task context. Throws when the controller does not answer, or a namespace's disk cannot be made. */
  *find(): Task {
    this.scanning = true;
    try {
      yield* this.scan();
    } finally {
      this.scanning = false;
      this.ended.wakeAll();
    }
    if (this.wanted) this.requestScan();
  }

  /** Has namespaces looked for soon. Any context. @param noticed by an event of the controller */
  requestScan(noticed = false): void {
    if (noticed) this.changeNoticed = true;
    this.wanted = !this.closed;
    if (this.closed || this.scanning) return;
    this.scanning = true;
    this.parts.world.spawn(this.scanAll(), { name: `${this.parts.path}: scan` });
  }

  /** Waits until no scan runs (flush_work). Task context. */
  *settled(): Task {
    yield* this.ended.waitUntil(() => !this.scanning);
  }

  /** No further scan begins. Any context. */
  close(): void {
    this.closed = true;
    this.wanted = false;
  }

  /** Nothing goes to any disk while the lock is held: what is submitted waits (nvme_passthru_start). Task context. */
  *freezeAll(): Task {
    yield* this.lock.lock();
    for (const disk of this.disks) yield* freezeDisk(disk);
  }

  /** (nvme_passthru_end). Task context: the thread that froze. */
  unfreezeAll(): void {
    for (const disk of this.disks) unfreezeDisk(disk);
    this.lock.unlock();
  }

  private *scanAll(): Task {
    while (this.wanted) {
      this.wanted = false;
      try {
        yield* this.scan();
      } catch (error) {
        if (!(error instanceof PincushionError)) throw error;
        this.parts.log.note(`scan of namespaces failed: ${error.message}`);
      }
    }
    this.scanning = false;
    this.ended.wakeAll();
  }

  private *scan(): Task {
    yield* this.lock.lock();
    try {
      const { identity } = this;
      if (identity === null) return;
      const commandSet = yield* this.commandSetLimits();
      if (this.changeNoticed) {
        this.changeNoticed = false;
        // Which ids are in it does not matter: reading it lets the next notice come.
        yield* this.parts.calls.attemptLog(LogPage.changedNamespaces, IDENTIFY_BYTES);
      }
      const ids = yield* this.activeIds();
      for (const nsid of ids) yield* this.look(nsid, identity, commandSet);
      for (const disk of [...this.disks]) if (!ids.includes(disk.nsid)) yield* this.remove(disk);
    } finally {
      this.lock.unlock();
    }
  }

  private *commandSetLimits(): Task<CommandSetLimits> {
    const page = yield* this.parts.calls.attemptIdentify(Cns.controllerOfCommandSet, 0);
    return typeof page === 'number' ? NO_LIMITS : readCommandSetLimits(page);
  }

  private *activeIds(): Task<number[]> {
    const ids: number[] = [];
    for (;;) {
      const list = readNamespaceList(yield* this.parts.calls.identify(Cns.activeNamespaces, ids.at(-1) ?? 0));
      ids.push(...list);
      if (list.length < LIST_IDS) return ids;
    }
  }

  /** A namespace that may be new, the same, another one, or gone again (nvme_scan_ns). */
  private *look(nsid: number, identity: ControllerIdentity, commandSet: CommandSetLimits): Task {
    const { calls, log } = this.parts;
    const known = this.disks.find((disk) => disk.nsid === nsid) ?? null;
    const descriptors = yield* calls.attemptIdentify(Cns.namespaceDescriptors, nsid);
    if (typeof descriptors === 'number') {
      log.note(`namespace ${nsid} does not say who it is: ${statusText(descriptors)}`);
      return;
    }
    // Once to know whether it is there, once for what its disk is made by (nvme_ns_info_from_identify, nvme_identify_ns).
    const first = yield* this.format(nsid);
    const format = first === null ? null : yield* this.format(nsid);
    const identifiers = readNamespaceDescriptors(descriptors);
    const isSame = known !== null && known.identifiers === identifiers;
    if (known !== null && (format === null || !isSame)) yield* this.remove(known);
    if (format === null) return;
    if ((identity.ctratt & CTRATT_EXTENDED_FORMATS) !== 0) {
      yield* calls.attemptIdentify(Cns.namespaceOfCommandSet, nsid);
    }
    const limits = namespaceLimits(identity, commandSet, format, this.parts.config);
    if (known === null || !isSame) this.add(nsid, identifiers, format.blocks, limits);
    else if (!known.isLike(format.blocks, limits)) yield* this.change(known, format.blocks, limits);
  }

  /** What a disk can be made by; null for a namespace that is not there, or is none for us. */
  private *format(nsid: number): Task<NamespaceFormat | null> {
    const page = yield* this.parts.calls.attemptIdentify(Cns.namespace, nsid);
    if (typeof page === 'number') return null;
    const format = readNamespaceFormat(page);
    const { blocks, blockShift, metadataBytes } = format;
    if (blocks === 0) return null;
    if (blockShift >= LBA_SHIFT_MIN && blockShift <= LBA_SHIFT_MAX && metadataBytes === 0) return format;
    const metadata = metadataBytes === 0 ? '' : ` with ${metadataBytes} bytes of metadata`;
    this.parts.log.note(`namespace ${nsid} has blocks of 2^${blockShift} bytes${metadata}: no disk is made of it`);
    return null;
  }

  private add(nsid: number, identifiers: string, blocks: number, limits: QueueLimits): void {
    const { name, queues } = this.parts;
    const disk = new NamespaceDisk(`${name}n${nsid}`, blocks, limits, nsid, identifiers, queues);
    this.registrations.set(disk, this.parts.register(disk));
    this.disks.push(disk);
  }

  private *change(disk: NamespaceDisk, blocks: number, limits: QueueLimits): Task {
    yield* freezeDisk(disk);
    disk.reformat(blocks, limits);
    unfreezeDisk(disk);
    this.parts.log.note(`${disk.name}: ${blocks} blocks of ${limits.logicalBlockBytes} bytes`);
  }

  /** The node goes, and the disk refuses; then waits for what is in flight. */
  private *remove(disk: NamespaceDisk): Task {
    this.disks.splice(this.disks.indexOf(disk), 1);
    this.parts.log.note(`${disk.name} is gone`);
    const registration = this.registrations.get(disk);
    this.registrations.delete(disk);
    if (registration !== undefined) yield* this.parts.forget(registration);
  }
}
