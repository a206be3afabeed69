/**
 * The admin command set: queues, Identify, features, log pages, Abort, asynchronous event requests.
 *
 * Executed when the command's time is over, like an I/O command. `execute` returns the status to post, or `HELD` for a
 * command that completes later (an asynchronous event request).
 * Left out: firmware update, namespace management, format, sanitize, directives, security, shadow doorbells.
 * Source: NVM Express Base Specification 1.4, section 5; which error wins as in the reference controller.
 */
import {
  AdminOpcode,
  AsyncEventType,
  BROADCAST_NSID,
  Cns,
  DW0_FUSE,
  DW0_PSDT,
  IDENTIFY_BYTES,
  LogPage,
  QUEUE_CONTIGUOUS,
  QUEUE_INTERRUPTS,
  RETAIN_ASYNC_EVENT,
} from '../spec/opcodes';
import { NvmeStatus } from '../spec/status';
import type { AsyncEvents } from './async-events';
import type { BusMaster } from './bus-master';
import type { CommandSlots } from './command-slots';
import { NAMESPACES_MAX } from './controller-config';
import type { ControllerConfig } from './controller-config';
import { featureDataBytes } from './features';
import type { Features } from './features';
import {
  identifyCommandSets,
  identifyController,
  identifyNamespace,
  identifyNamespaceDescriptors,
  identifyNamespaceList,
} from './identify';
import { logPage } from './log-pages';
import type { SmartCounters } from './log-pages';
import type { Namespace } from './namespace';
import type { PrpWalk } from './prp';
import { CompletionQueue, SubmissionQueue } from './queues';

/** The command is kept and completes later. */
export const HELD = -1;

const HIGH_WORD = 0x1_0000_0000;
const CSI_NVM = 0;

/** What admin commands act on beside memory: the queues and the commands in them. */
export interface CommandUnit {
  /** By queue id; 0 are the admin queues. */
  readonly submissionQueues: (SubmissionQueue | null)[];
  readonly completionQueues: (CompletionQueue | null)[];
  /** Completes every command of a queue that is still being worked on. */
  abortQueue(queueId: number, status: number): void;
  /** Completes one such command; false when it is not there (any more). */
  abortCommand(queueId: number, cid: number, status: number): boolean;
  /** Drops completions that wait for room in a queue that goes away. */
  dropWaiting(queue: CompletionQueue): void;
}

export class AdminCommands {
  /** Page size of the host (CC.MPS), set at enable. */
  pageBytes = 4096;
  private readonly page = new Uint8Array(IDENTIFY_BYTES);

  constructor(
    private readonly unit: CommandUnit,
    private readonly bus: BusMaster,
    private readonly slots: CommandSlots,
    private readonly prp: PrpWalk,
    private readonly namespaces: readonly (Namespace | null)[],
    private readonly features: Features,
    private readonly events: AsyncEvents,
    private readonly smart: SmartCounters,
    private readonly config: ControllerConfig,
    private readonly vectors: number,
  ) {}

  execute(slot: number): number {
    const { words } = this.slots;
    const at = this.slots.at(slot);
    switch (words[at] & 0xff) {
      case AdminOpcode.deleteSq:
        return flagsOf(words, at) || this.deleteSq(words[at + 10] & 0xffff);
      case AdminOpcode.createSq:
        return flagsOf(words, at) || this.createSq(words, at);
      case AdminOpcode.getLogPage:
        return flagsOf(words, at) || this.getLogPage(words, at);
      case AdminOpcode.deleteCq:
        return flagsOf(words, at) || this.deleteCq(words[at + 10] & 0xffff);
      case AdminOpcode.createCq:
        return flagsOf(words, at) || this.createCq(words, at);
      case AdminOpcode.identify:
        return flagsOf(words, at) || this.identify(words, at);
      case AdminOpcode.abort:
        return flagsOf(words, at) || this.abort(slot, words[at + 10]);
      case AdminOpcode.setFeatures:
        return flagsOf(words, at) || this.setFeatures(slot, words, at);
      case AdminOpcode.getFeatures:
        return flagsOf(words, at) || this.getFeatures(slot, words, at);
      case AdminOpcode.asyncEventRequest:
        return flagsOf(words, at) || (this.events.hold(slot) ? HELD : NvmeStatus.asyncEventLimit);
      default:
        return NvmeStatus.invalidOpcode;
    }
  }

  private createCq(words: Int32Array, at: number): number {
    const id = words[at + 10] & 0xffff;
    const size = (words[at + 10] >>> 16) + 1;
    const flags = words[at + 11];
    const { completionQueues } = this.unit;
    if (id === 0 || id > this.config.queuePairs || completionQueues[id] !== null) return NvmeStatus.invalidQueueId;
    if (size < 2 || size > this.config.queueEntries) return NvmeStatus.invalidQueueSize;
    if ((words[at + 6] & (this.pageBytes - 1)) !== 0) return NvmeStatus.invalidPrpOffset;
    const vector = flags >>> 16;
    if (vector >= this.vectors) return NvmeStatus.invalidInterruptVector;
    if ((flags & QUEUE_CONTIGUOUS) === 0) return NvmeStatus.invalidField;
    const interrupts = (flags & QUEUE_INTERRUPTS) !== 0;
    completionQueues[id] = new CompletionQueue(id, addressAt(words, at + 6), size, vector, interrupts);
    return NvmeStatus.success;
  }

  private createSq(words: Int32Array, at: number): number {
    const id = words[at + 10] & 0xffff;
    const size = (words[at + 10] >>> 16) + 1;
    const completionsId = words[at + 11] >>> 16;
    const { submissionQueues, completionQueues } = this.unit;
    const completions = completionsId > this.config.queuePairs ? null : completionQueues[completionsId];
    if (completionsId === 0 || completions === null) return NvmeStatus.invalidCompletionQueue;
    if (id === 0 || id > this.config.queuePairs || submissionQueues[id] !== null) return NvmeStatus.invalidQueueId;
    if (size < 2 || size > this.config.queueEntries) return NvmeStatus.invalidQueueSize;
    if ((words[at + 6] & (this.pageBytes - 1)) !== 0) return NvmeStatus.invalidPrpOffset;
    if ((words[at + 11] & QUEUE_CONTIGUOUS) === 0) return NvmeStatus.invalidField;
    submissionQueues[id] = new SubmissionQueue(id, addressAt(words, at + 6), size, completions);
    completions.users++;
    return NvmeStatus.success;
  }

  private deleteSq(id: number): number {
    const { submissionQueues } = this.unit;
    const queue = id === 0 || id > this.config.queuePairs ? null : submissionQueues[id];
    if (queue === null) return NvmeStatus.invalidQueueId;
    this.unit.abortQueue(id, NvmeStatus.abortedSqDeletion);
    submissionQueues[id] = null;
    queue.completions.users--;
    return NvmeStatus.success;
  }

  private deleteCq(id: number): number {
    const { completionQueues } = this.unit;
    const queue = id === 0 || id > this.config.queuePairs ? null : completionQueues[id];
    if (queue === null) return NvmeStatus.invalidCompletionQueue;
    if (queue.users > 0) return NvmeStatus.invalidQueueDeletion;
    this.unit.dropWaiting(queue);
    completionQueues[id] = null;
    return NvmeStatus.success;
  }

  /** Dword 0 of the completion: bit 0 set when the command was not aborted. Commands of the admin queue never are. */
  private abort(slot: number, dword10: number): number {
    const queueId = dword10 & 0xffff;
    this.slots.setResult(slot, 1);
    const exists = queueId <= this.config.queuePairs && this.unit.submissionQueues[queueId] !== null;
    if (!exists) return NvmeStatus.invalidField;
    if (queueId !== 0 && this.unit.abortCommand(queueId, dword10 >>> 16, NvmeStatus.abortRequested)) {
      this.slots.setResult(slot, 0);
    }
    return NvmeStatus.success;
  }

  private identify(words: Int32Array, at: number): number {
    const { page } = this;
    page.fill(0);
    const status = this.fillIdentify(words[at + 10] & 0xff, words[at + 1] >>> 0, words[at + 11] >>> 24);
    return status === NvmeStatus.success ? this.toHost(words, at, page, IDENTIFY_BYTES) : status;
  }

  private fillIdentify(cns: number, nsid: number, commandSet: number): number {
    const { page } = this;
    const listed = nsid < BROADCAST_NSID - 1;
    const namespace = nsid === 0 || nsid > NAMESPACES_MAX ? undefined : this.namespaces[nsid];
    switch (cns) {
      case Cns.controller:
        identifyController(page, this.config);
        return NvmeStatus.success;
      case Cns.namespace:
        if (namespace === undefined) return NvmeStatus.invalidNamespace;
        if (namespace !== null) identifyNamespace(page, namespace);
        return NvmeStatus.success;
      case Cns.activeNamespaces:
      case Cns.allocatedNamespaces:
        if (!listed) return NvmeStatus.invalidNamespace;
        identifyNamespaceList(page, this.namespaces, nsid);
        return NvmeStatus.success;
      case Cns.namespaceDescriptors:
        if (namespace === undefined) return NvmeStatus.invalidNamespace;
        if (namespace === null) return NvmeStatus.invalidField;
        identifyNamespaceDescriptors(page, this.config, namespace);
        return NvmeStatus.success;
      case Cns.namespaceOfCommandSet:
        if (namespace === undefined) return NvmeStatus.invalidNamespace;
        return commandSet === CSI_NVM ? NvmeStatus.success : NvmeStatus.invalidField;
      case Cns.controllerOfCommandSet:
        return commandSet === CSI_NVM ? NvmeStatus.success : NvmeStatus.invalidField;
      case Cns.commandSets:
        identifyCommandSets(page);
        return NvmeStatus.success;
      default:
        return NvmeStatus.invalidField;
    }
  }

  private getFeatures(slot: number, words: Int32Array, at: number): number {
    const id = words[at + 10] & 0xff;
    const select = (words[at + 10] >>> 8) & 7;
    const status = this.features.get(id, select, words[at + 1] >>> 0, words[at + 11]);
    this.slots.setResult(slot, this.features.result);
    const data = this.features.data(id);
    if (status !== NvmeStatus.success || data === null) return status;
    return this.toHost(words, at, data, featureDataBytes(id));
  }

  private setFeatures(slot: number, words: Int32Array, at: number): number {
    const id = words[at + 10] & 0xff;
    const queuesExist = this.unit.completionQueues.some((queue) => queue !== null && queue.id !== 0);
    const status = this.features.set(id, words[at + 10], words[at + 1] >>> 0, words[at + 11], queuesExist);
    this.slots.setResult(slot, this.features.result);
    const data = this.features.data(id);
    if (status !== NvmeStatus.success || data === null) return status;
    return this.fromHost(words, at, data, featureDataBytes(id));
  }

  private getLogPage(words: Int32Array, at: number): number {
    const id = words[at + 10] & 0xff;
    const dwords = (words[at + 10] >>> 16) + (words[at + 11] & 0xffff) * 0x10000 + 1;
    const offset = (words[at + 13] >>> 0) * HIGH_WORD + (words[at + 12] >>> 0);
    if (dwords * 4 > this.transferBytesMax) return NvmeStatus.invalidField;
    if ((words[at + 12] & 3) !== 0) return NvmeStatus.invalidField;
    if (id === LogPage.smart && !this.smartNamespace(words[at + 1] >>> 0)) return NvmeStatus.invalidNamespace;
    const log = logPage(id, this.smart);
    if (log === null || offset >= log.length) return NvmeStatus.invalidField;
    const bytes = Math.min(dwords * 4, log.length - offset);
    const status = this.toHost(words, at, log.subarray(offset), bytes);
    if (status !== NvmeStatus.success || (words[at + 10] & RETAIN_ASYNC_EVENT) !== 0) return status;
    if (id === LogPage.errorInformation) this.events.unmask(AsyncEventType.error);
    if (id === LogPage.smart) this.events.unmask(AsyncEventType.smart);
    return status;
  }

  private smartNamespace(nsid: number): boolean {
    if (nsid === 0 || nsid === BROADCAST_NSID) return true;
    return nsid <= NAMESPACES_MAX && this.namespaces[nsid] !== null;
  }

  private get transferBytesMax(): number {
    return 4096 << this.config.mdts;
  }

  private toHost(words: Int32Array, at: number, from: Uint8Array, bytes: number): number {
    const { prp } = this;
    const status = prp.walk(this.bus, words, at + 6, bytes, this.pageBytes);
    if (status !== NvmeStatus.success) return status;
    let done = 0;
    for (let i = 0; i < prp.count; i++) {
      if (this.bus.dmaWrite(prp.address[i], from, done, prp.length[i]) !== 0) return NvmeStatus.dataTransferError;
      done += prp.length[i];
    }
    return NvmeStatus.success;
  }

  private fromHost(words: Int32Array, at: number, into: Uint8Array, bytes: number): number {
    const { prp } = this;
    const status = prp.walk(this.bus, words, at + 6, bytes, this.pageBytes);
    if (status !== NvmeStatus.success) return status;
    let done = 0;
    for (let i = 0; i < prp.count; i++) {
      if (this.bus.dmaRead(prp.address[i], into, done, prp.length[i]) !== 0) return NvmeStatus.dataTransferError;
      done += prp.length[i];
    }
    return NvmeStatus.success;
  }
}

/** Fused and data-pointer flags: admin commands take neither fusing nor SGLs. 0 is success. */
function flagsOf(words: Int32Array, at: number): number {
  if ((words[at] & DW0_FUSE) !== 0) return NvmeStatus.invalidFuse;
  return (words[at] & DW0_PSDT) !== 0 ? NvmeStatus.invalidField : NvmeStatus.success;
}

function addressAt(words: Int32Array, at: number): number {
  return (words[at + 1] >>> 0) * HIGH_WORD + (words[at] >>> 0);
}
