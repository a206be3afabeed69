/**
 * The admin command set: which command is whose, and what all of them check.
 *
 *   queue-commands       create and delete queues           identify-command    Identify
 *   namespace-commands   Format, Namespace Attachment       features            Get and Set Features
 *   here                 Abort, asynchronous event requests, Get Log Page, Doorbell Buffer Config
 *
 * Executed when the command's time is over, like an I/O command. `execute` returns the status to post, or `HELD` for a
 * command that completes later (an asynchronous event request). Order of checks: opcode, data-pointer flags, fused flags, the command's.
 * Left out: firmware update, namespace management, sanitize, directives, security, virtualization management.
 * Source: NVM Express Base Specification 1.4, section 5; which error wins as in the reference controller.
 */
import {
  AdminOpcode,
  AsyncEventType,
  BROADCAST_NSID,
  DW0_FUSE,
  DW0_PSDT,
  Feature,
  IDENTIFY_BYTES,
  LogPage,
  RETAIN_ASYNC_EVENT,
  knownOpcodes,
} from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import type { AdminTransfer } from './admin-transfer';
import type { AsyncEvents } from './async-events';
import type { CommandSlots } from '../queues/command-slots';
import type { ControllerConfig } from '../controller-config';
import type { ErrorLog } from './error-log';
import { featureDataBytes } from './features';
import type { Features } from './features';
import type { Health } from './health';
import { fillIdentify } from './identify-command';
import { effectsLog, firmwareLog } from './log-pages';
import type { NamespaceCommands } from './namespace-commands';
import type { NamespaceTable } from '../media/namespace-table';
import type { CommandUnit, QueueCommands } from './queue-commands';
import type { ShadowDoorbells } from '../queues/shadow-doorbells';

/** The command is kept and completes later. */
export const HELD = -1;

const HIGH_WORD = 0x1_0000_0000;
/** By opcode: whether there is such a command. */
const KNOWN: readonly boolean[] = knownOpcodes(AdminOpcode);

/** The parts of the controller that admin commands act on. */
export interface AdminParts {
  readonly unit: CommandUnit;
  readonly slots: CommandSlots;
  readonly transfer: AdminTransfer;
  readonly queues: QueueCommands;
  readonly table: NamespaceTable;
  readonly namespaces: NamespaceCommands;
  readonly features: Features;
  readonly events: AsyncEvents;
  readonly health: Health;
  readonly errors: ErrorLog;
  readonly shadows: ShadowDoorbells;
  readonly config: ControllerConfig;
  nowNs(): number;
  /** Settings of the interrupts have changed. */
  interruptsChanged(): void;
}

export class AdminCommands {
  private readonly page = new Uint8Array(IDENTIFY_BYTES);

  constructor(private readonly parts: AdminParts) {}

  execute(slot: number): number {
    const { words } = this.parts.slots;
    const at = this.parts.slots.at(slot);
    const opcode = words[at] & 0xff;
    if (!this.knows(opcode)) return NvmeStatus.invalidOpcode;
    if ((words[at] & DW0_PSDT) !== 0) return NvmeStatus.invalidField;
    if ((words[at] & DW0_FUSE) !== 0) return NvmeStatus.invalidFuse;
    return this.run(slot, opcode, words, at);
  }

  private knows(opcode: number): boolean {
    if (opcode === AdminOpcode.doorbellBufferConfig) return this.parts.config.shadowDoorbells;
    return KNOWN[opcode];
  }

  private run(slot: number, opcode: number, words: Int32Array, at: number): number {
    const { queues, namespaces, events } = this.parts;
    switch (opcode) {
      case AdminOpcode.deleteSq:
        return queues.deleteSq(words[at + 10] & 0xffff);
      case AdminOpcode.createSq:
        return queues.createSq(words, at);
      case AdminOpcode.getLogPage:
        return this.getLogPage(words, at);
      case AdminOpcode.deleteCq:
        return queues.deleteCq(words[at + 10] & 0xffff);
      case AdminOpcode.createCq:
        return queues.createCq(words, at);
      case AdminOpcode.identify:
        return this.identify(words, at);
      case AdminOpcode.abort:
        return this.abort(slot, words[at + 10]);
      case AdminOpcode.setFeatures:
        return this.setFeatures(slot, words, at);
      case AdminOpcode.getFeatures:
        return this.getFeatures(slot, words, at);
      case AdminOpcode.namespaceAttachment:
        return namespaces.attach(words, at);
      case AdminOpcode.doorbellBufferConfig:
        return this.useShadows(words, at);
      case AdminOpcode.formatNvm:
        return namespaces.format(words, at);
      default:
        return events.hold(slot) ? HELD : NvmeStatus.asyncEventLimit;
    }
  }

  /** Dword 0 of the completion: bit 0 set when the command was not aborted. Commands of the admin queue never are. */
  private abort(slot: number, dword10: number): number {
    const { slots, unit, config } = this.parts;
    const queueId = dword10 & 0xffff;
    slots.setResult(slot, 1);
    const exists = queueId <= config.queuePairs && unit.submissionQueues[queueId] !== null;
    if (!exists) return NvmeStatus.invalidField;
    if (queueId !== 0 && unit.abortCommand(queueId, dword10 >>> 16, NvmeStatus.abortRequested)) {
      slots.setResult(slot, 0);
    }
    return NvmeStatus.success;
  }

  private identify(words: Int32Array, at: number): number {
    const { config, table, transfer } = this.parts;
    const { page } = this;
    page.fill(0);
    const status = fillIdentify(page, words[at + 10], words[at + 1] >>> 0, words[at + 11], config, table);
    return status === NvmeStatus.success ? transfer.toHost(words, at, page, IDENTIFY_BYTES) : status;
  }

  private getFeatures(slot: number, words: Int32Array, at: number): number {
    const { features, slots, transfer } = this.parts;
    const id = words[at + 10] & 0xff;
    const select = (words[at + 10] >>> 8) & 7;
    const status = features.get(id, select, words[at + 1] >>> 0, words[at + 11]);
    slots.setResult(slot, features.result);
    const data = select === 0 || select > 3 ? features.data(id) : null;
    if (status !== NvmeStatus.success || data === null) return status;
    return transfer.toHost(words, at, data, featureDataBytes(id));
  }

  private setFeatures(slot: number, words: Int32Array, at: number): number {
    const { features, slots, transfer, queues, health } = this.parts;
    const id = words[at + 10] & 0xff;
    let status = features.set(id, words[at + 10], words[at + 1] >>> 0, words[at + 11], queues.queuesMade);
    slots.setResult(slot, features.result);
    if (status !== NvmeStatus.success) return status;
    const data = features.data(id);
    if (data !== null) {
      status = transfer.fromHost(words, at, data, featureDataBytes(id));
      if (status === NvmeStatus.success) features.dataSet(id);
    }
    if (id === Feature.temperatureThreshold) health.checkTemperature();
    if (id === Feature.interruptCoalescing || id === Feature.interruptVector) this.parts.interruptsChanged();
    return status;
  }

  private getLogPage(words: Int32Array, at: number): number {
    const { transfer, events, table, config } = this.parts;
    const id = words[at + 10] & 0xff;
    const dwords = (words[at + 10] >>> 16) + (words[at + 11] & 0xffff) * 0x10000 + 1;
    const offset = (words[at + 13] >>> 0) * HIGH_WORD + (words[at + 12] >>> 0);
    if ((words[at + 12] & 3) !== 0 || dwords * 4 > 4096 << config.mdts) return NvmeStatus.invalidField;
    if (id === LogPage.smart && !this.hasHealthOf(words[at + 1] >>> 0)) return NvmeStatus.invalidNamespace;
    const log = this.logPage(id);
    if (log === null || offset >= log.length) return NvmeStatus.invalidField;
    const bytes = Math.min(dwords * 4, log.length - offset);
    const status = transfer.toHost(words, at, log.subarray(offset), bytes);
    if (status !== NvmeStatus.success || (words[at + 10] & RETAIN_ASYNC_EVENT) !== 0) return status;
    if (id === LogPage.errorInformation) events.unmask(AsyncEventType.error);
    if (id === LogPage.smart) events.unmask(AsyncEventType.smart);
    if (id === LogPage.changedNamespaces) {
      table.forgetChanges();
      events.unmask(AsyncEventType.notice);
    }
    return status;
  }

  private logPage(id: number): Uint8Array | null {
    const { errors, health, table, config } = this.parts;
    switch (id) {
      case LogPage.errorInformation:
        return errors.page();
      case LogPage.smart:
        return health.page(errors.count, this.parts.nowNs());
      case LogPage.firmwareSlots:
        return firmwareLog();
      case LogPage.changedNamespaces:
        return table.changedPage();
      case LogPage.commandEffects:
        return effectsLog(config);
      default:
        return null;
    }
  }

  /** Of the controller, or of a namespace that is attached; the counts are those of the controller. */
  private hasHealthOf(nsid: number): boolean {
    return nsid === BROADCAST_NSID || (this.parts.table.find(nsid) ?? null) !== null;
  }

  private useShadows(words: Int32Array, at: number): number {
    const { shadows, queues } = this.parts;
    const mask = queues.pageBytes - 1;
    if ((words[at + 6] & mask) !== 0 || (words[at + 8] & mask) !== 0) return NvmeStatus.invalidField;
    const values = (words[at + 7] >>> 0) * HIGH_WORD + (words[at + 6] >>> 0);
    const events = (words[at + 9] >>> 0) * HIGH_WORD + (words[at + 8] >>> 0);
    return shadows.use(values, events) ? NvmeStatus.success : NvmeStatus.dataTransferError;
  }
}
