/**
 * The NVMe controller: registers, doorbells, command fetch, completion entries, interrupts.
 *
 *   host writes a submission queue entry into its memory, then the tail doorbell
 *     -> the controller fetches the entry by DMA, checks it, and knows when it will be done       (fetch)
 *   that time comes
 *     -> data moves by DMA, a completion entry with the queue's phase bit is written by DMA,
 *        the queue's interrupt vector is raised                                                    (finish)
 *   the host has looked at entries up to some head, and writes the head doorbell
 *     -> completions that found the queue full go out                                              (drain)
 *
 * Host memory is reached by DMA alone; when the bus refuses a fetch or a completion entry, the controller reports a fatal
 * status and stops, for it has lost the thread. The driver's handler may run before `raise` returns, and may ring a
 * doorbell: so nothing half-done is in a field when an interrupt is raised.
 * Left out: weighted arbitration (queues are served as they ring), CMB, PMR, shadow doorbells, SGLs, interrupt coalescing.
 * Source: NVM Express Base Specification 1.4.
 */
import type { HardwareMeta } from '@pincushion/driver';
import { DeviceModel, hardware } from '@pincushion/driver';
import { AsyncErrorInfo, AsyncEventType, LogPage } from '../spec/opcodes';
import {
  CC_EN,
  CC_SHN_MASK,
  CC_SHN_SHIFT,
  CQE_BYTES,
  CQE_WORDS,
  CSTS_CFS,
  CSTS_RDY,
  CSTS_SHST_COMPLETE,
  CSTS_SHST_MASK,
  REG_CC,
  REG_DOORBELLS,
  SQE_BYTES,
  SQE_WORDS,
} from '../spec/registers';
import { NvmeStatus } from '../spec/status';
import { AdminCommands, HELD } from './admin-commands';
import type { CommandUnit } from './admin-commands';
import { AsyncEvents } from './async-events';
import type { BusMaster } from './bus-master';
import { CommandSlots, SLOT_ABORTED, SLOT_BUSY, SLOT_HELD, SLOT_POSTING } from './command-slots';
import { ControllerConfig, NAMESPACES_MAX, QUEUE_PAIRS_MAX } from './controller-config';
import { Features } from './features';
import { openNamespace } from './image-file';
import { IoCommands } from './io-commands';
import { LatencyModel } from './latency';
import type { SmartCounters } from './log-pages';
import type { Namespace } from './namespace';
import { PlannedFaults } from './planned-faults';
import { PrpWalk } from './prp';
import { CompletionQueue, SubmissionQueue } from './queues';
import { RegisterFile } from './register-file';

/** PCI ids of the reference controller. */
const NVME_VENDOR = 0x1b36;
const NVME_DEVICE = 0x0010;
/** One vector for the admin queue, one for each I/O queue pair. */
const VECTORS = QUEUE_PAIRS_MAX + 1;

// Imported bindings are getters once compiled; the hot functions read constants of the module.
const SUCCESS = NvmeStatus.success;
const BUSY = SLOT_BUSY;
const DOORBELLS = REG_DOORBELLS;
const ENTRY_BYTES = SQE_BYTES;
const ENTRY_WORDS = SQE_WORDS;
const COMPLETION_BYTES = CQE_BYTES;
const COMPLETION_WORDS = CQE_WORDS;

const HIGH_WORD = 0x1_0000_0000;

const META: Readonly<HardwareMeta> = {
  name: 'nvme',
  vendor: NVME_VENDOR,
  device: NVME_DEVICE,
  bars: [{ bytes: 0x4000 }],
  vectors: VECTORS,
  config: ControllerConfig,
};

@hardware(META)
export class NvmeController extends DeviceModel<ControllerConfig> implements BusMaster, CommandUnit {
  readonly submissionQueues: (SubmissionQueue | null)[] = [];
  readonly completionQueues: (CompletionQueue | null)[] = [];
  /** By namespace id; null where there is none. The content survives resets. */
  readonly namespaces: (Namespace | null)[] = [];
  /** For tests. */
  readonly faults = new PlannedFaults();
  private readonly slots = new CommandSlots();
  private readonly smart: SmartCounters = new Float64Array(4);
  private readonly entry = new Int32Array(COMPLETION_WORDS);
  private registers!: RegisterFile;
  private features!: Features;
  private events!: AsyncEvents;
  private latency!: LatencyModel;
  private io!: IoCommands;
  private admin!: AdminCommands;
  private finishHandler = 0;
  private drainHandler = 0;

  override powerOn(): void {
    const { config, slots, namespaces } = this;
    const vectors = config.queuePairs + 1;
    const transferBytesMax = 4096 << config.mdts;
    for (let id = 0; id <= NAMESPACES_MAX; id++) {
      const settings = id === 0 ? undefined : config.namespaces[id - 1];
      namespaces[id] = settings === undefined ? null : openNamespace(id, settings, this.hostFiles);
    }
    for (let id = 0; id <= config.queuePairs; id++) {
      this.submissionQueues[id] = null;
      this.completionQueues[id] = null;
    }
    const prp = new PrpWalk(transferBytesMax / 4096 + 1);
    this.registers = new RegisterFile(config.queueEntries);
    this.features = new Features(config.queuePairs, vectors, (nsid) => namespaces[nsid] !== null);
    this.events = new AsyncEvents((slot, result) => {
      this.completeHeld(slot, result);
    });
    this.latency = new LatencyModel(config.latency, this.stream('latency'));
    this.io = new IoCommands(this, slots, prp, namespaces, this.latency, this.smart, {
      transferBytesMax,
      moveBytes: config.data === 'bytes',
    });
    this.admin = new AdminCommands(
      this,
      this,
      slots,
      prp,
      namespaces,
      this.features,
      this.events,
      this.smart,
      config,
      vectors,
    );
    this.finishHandler = this.handler('finish', (slot) => {
      this.finish(slot);
    });
    this.drainHandler = this.handler('drain', (queueId) => {
      this.drain(queueId);
    });
  }

  /** A function-level reset: queues and settings are gone, the namespaces keep their content. */
  override reset(): void {
    this.stopCommands();
    this.registers = new RegisterFile(this.config.queueEntries);
  }

  override unplug(): void {
    super.unplug();
    for (const namespace of this.namespaces) namespace?.close();
  }

  override mmioRead(_bar: number, offset: number, width: 1 | 2 | 4 | 8): number {
    return offset >= DOORBELLS ? 0 : this.registers.read(offset, width);
  }

  override mmioWrite(_bar: number, offset: number, value: number, width: 1 | 2 | 4 | 8): void {
    if (offset >= DOORBELLS) this.ringDoorbell(offset - DOORBELLS, value);
    else this.writeRegister(offset, value, width);
  }

  // The bus, as the parts of the controller use it.
  override dmaRead(iova: number, into: Uint8Array, at: number, n: number): number {
    return super.dmaRead(iova, into, at, n);
  }

  override dmaWrite(iova: number, from: Uint8Array, at: number, n: number): number {
    return super.dmaWrite(iova, from, at, n);
  }

  override dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    return super.dmaReadWords(iova, into, at, words);
  }

  override dmaFill(iova: number, byte: number, n: number): number {
    return super.dmaFill(iova, byte, n);
  }

  override dmaCheck(iova: number, n: number, write: boolean): number {
    return super.dmaCheck(iova, n, write);
  }

  abortQueue(queueId: number, status: number): void {
    for (let slot = 0; slot < this.slots.count; slot++) {
      const state = this.slots.stateOf(slot);
      const live = state === BUSY || state === SLOT_HELD;
      if (live && this.slots.queueOf(slot) === queueId) this.completeEarly(slot, status);
    }
  }

  abortCommand(queueId: number, cid: number, status: number): boolean {
    const slot = this.slots.find(queueId, cid);
    if (slot < 0) return false;
    this.completeEarly(slot, status);
    return true;
  }

  dropWaiting(queue: CompletionQueue): void {
    while (queue.waitingFirst >= 0) {
      const slot = queue.waitingFirst;
      queue.waitingFirst = this.slots.nextOf(slot);
      this.slots.release(slot);
    }
    queue.waitingLast = -1;
  }

  /** A write to CC: enable, shut down, reset. */
  private configure(value: number): void {
    const { registers } = this;
    const wasEnabled = (registers.cc & CC_EN) !== 0;
    registers.cc = value;
    if ((value & CC_EN) === 0) {
      if (wasEnabled) {
        this.stopCommands();
        registers.csts = 0;
      }
    } else if (!wasEnabled) {
      this.enable();
    }
    const shutdown = ((value >>> CC_SHN_SHIFT) & CC_SHN_MASK) !== 0;
    if (shutdown && (registers.csts & CSTS_SHST_MASK) === 0) {
      for (const namespace of this.namespaces) namespace?.flush();
      registers.csts |= CSTS_SHST_COMPLETE;
    } else if (!shutdown) {
      registers.csts &= ~CSTS_SHST_MASK;
    }
  }

  private enable(): void {
    const { registers } = this;
    if (!registers.enableAllowed || this.faults.refuseEnable) {
      registers.csts = CSTS_CFS;
      return;
    }
    const completions = new CompletionQueue(0, registers.adminCqBase, registers.adminCqSize, 0, true);
    this.completionQueues[0] = completions;
    this.submissionQueues[0] = new SubmissionQueue(0, registers.adminSqBase, registers.adminSqSize, completions);
    this.io.pageBytes = registers.pageBytes;
    this.io.writeCache = this.features.writeCacheOn;
    this.admin.pageBytes = registers.pageBytes;
    registers.csts = CSTS_RDY;
  }

  /** EN 1 -> 0: queues are gone, commands inside are dropped without a word. AQA, ASQ and ACQ stay. */
  private stopCommands(): void {
    const { slots } = this;
    for (const queue of this.completionQueues) {
      if (queue !== null) this.dropWaiting(queue);
    }
    this.submissionQueues.fill(null);
    this.completionQueues.fill(null);
    for (let slot = 0; slot < slots.count; slot++) {
      if (slots.stateOf(slot) === BUSY) slots.setState(slot, SLOT_ABORTED);
      else if (slots.stateOf(slot) === SLOT_HELD) slots.release(slot);
    }
    this.events.reset();
    this.features.reset();
    this.latency.reset();
  }

  /** Something happened that the controller cannot tell the host through its queues. */
  private fail(): void {
    const { slots } = this;
    this.registers.csts = (this.registers.csts & ~CSTS_RDY) | CSTS_CFS;
    for (let slot = 0; slot < slots.count; slot++) {
      if (slots.stateOf(slot) === BUSY) slots.setState(slot, SLOT_ABORTED);
    }
  }

  private writeRegister(offset: number, value: number, width: number): void {
    if (offset === REG_CC) {
      this.configure(value | 0);
    } else {
      this.registers.write(offset, value | 0);
      if (width === 8) this.registers.write(offset + 4, Math.floor(value / HIGH_WORD) | 0);
    }
  }

  /** Doorbells stand in pairs, one for each queue id: submission tail, completion head. */
  private ringDoorbell(at: number, value: number): void {
    if ((at & 3) !== 0 || !this.registers.ready) return;
    if ((at & 4) === 0) this.ringTail(at >>> 3, value);
    else this.ringHead(at >>> 3, value);
  }

  private ringTail(id: number, value: number): void {
    const queue = id < this.submissionQueues.length ? this.submissionQueues[id] : null;
    if (queue === null || value >= queue.size) {
      this.badDoorbell(queue !== null);
    } else {
      queue.tail = value;
      this.fetch(queue);
    }
  }

  private ringHead(id: number, value: number): void {
    const queue = id < this.completionQueues.length ? this.completionQueues[id] : null;
    if (queue === null || value >= queue.size) {
      this.badDoorbell(queue !== null);
    } else {
      queue.head = value;
      if (queue.waitingFirst >= 0) this.schedule(0, this.drainHandler, id);
    }
  }

  /** Not fatal: the host is told when it has left an asynchronous event request. */
  private badDoorbell(registerExists: boolean): void {
    const info = registerExists ? AsyncErrorInfo.invalidDoorbellValue : AsyncErrorInfo.invalidDoorbellRegister;
    this.events.report(AsyncEventType.error, info, LogPage.errorInformation);
  }

  /** Takes every entry up to the tail into a slot and schedules its end. */
  private fetch(queue: SubmissionQueue): void {
    const { slots } = this;
    const { id, size } = queue;
    let { head } = queue;
    while (head !== queue.tail) {
      const slot = slots.alloc(id);
      if (this.dmaReadWords(queue.base + head * ENTRY_BYTES, slots.words, slots.at(slot), ENTRY_WORDS) !== 0) {
        slots.release(slot);
        this.fail();
        return;
      }
      head = head + 1 === size ? 0 : head + 1;
      queue.head = head;
      const delayNs = id === 0 ? this.latency.admin() : this.io.accept(slot, this.now);
      this.schedule(delayNs, this.finishHandler, slot);
    }
  }

  /** The time of a command has come. */
  private finish(slot: number): void {
    const { slots } = this;
    if (slots.stateOf(slot) !== BUSY) {
      slots.release(slot);
    } else if (slots.queueOf(slot) === 0) {
      this.finishAdmin(slot);
    } else if (this.faults.armed) {
      this.finishFaulty(slot);
    } else {
      const status = slots.statusOf(slot);
      this.complete(slot, status === SUCCESS ? this.io.execute(slot) : status);
    }
  }

  private finishAdmin(slot: number): void {
    if (this.faults.stallAdmin > 0) {
      this.faults.stallAdmin--;
      this.slots.setState(slot, SLOT_HELD);
      return;
    }
    const status = this.admin.execute(slot);
    this.io.writeCache = this.features.writeCacheOn;
    if (status === HELD) {
      this.slots.setState(slot, SLOT_HELD);
      this.events.deliver();
    } else {
      this.complete(slot, status);
    }
  }

  /** Posts the completion of a slot and gives the slot back, or lets it wait for room. */
  private complete(slot: number, status: number): void {
    const { slots } = this;
    const queue = this.submissionQueues[slots.queueOf(slot)];
    if (queue === null) {
      slots.release(slot);
      return;
    }
    if (this.completionsWatched) this.completeWatched(queue, slot, status);
    else this.publish(queue, slot, status);
  }

  /** As a fault plan or a test wants it: the completion waits in a slot of its own, if it comes at all. */
  private completeWatched(queue: SubmissionQueue, slot: number, status: number): void {
    const { slots } = this;
    const command = slots.words[slots.at(slot)];
    const result = slots.resultOf(slot);
    slots.release(slot);
    this.completion(() => {
      if (this.submissionQueues[queue.id] !== queue) return; // A reset came first.
      const stand = slots.alloc(queue.id);
      slots.words[slots.at(stand)] = command;
      slots.setResult(stand, result);
      this.publish(queue, stand, status);
    });
  }

  private publish(queue: SubmissionQueue, slot: number, status: number): void {
    const { slots } = this;
    const { completions } = queue;
    if (completions.waitingFirst >= 0 || completions.full) {
      this.waitForRoom(completions, slot, status);
      return;
    }
    const posted = this.post(completions, queue, slot, status);
    slots.release(slot);
    if (posted && completions.interrupts) this.raise(completions.vector);
  }

  private waitForRoom(completions: CompletionQueue, slot: number, status: number): void {
    const { slots } = this;
    slots.setState(slot, SLOT_POSTING);
    slots.setStatus(slot, status);
    slots.setNext(slot, -1);
    if (completions.waitingFirst < 0) completions.waitingFirst = slot;
    else slots.setNext(completions.waitingLast, slot);
    completions.waitingLast = slot;
  }

  /** Completes a command ahead of its time. While its event is still to come, its slot stays taken. */
  private completeEarly(slot: number, status: number): void {
    const { slots } = this;
    if (slots.stateOf(slot) === SLOT_HELD) {
      this.complete(slot, status);
      return;
    }
    const stand = slots.alloc(slots.queueOf(slot));
    slots.words[slots.at(stand)] = slots.words[slots.at(slot)]; // All that a completion needs: the command identifier.
    slots.setState(slot, SLOT_ABORTED);
    this.complete(stand, status);
  }

  private completeHeld(slot: number, result: number): undefined {
    this.slots.setResult(slot, result);
    this.complete(slot, SUCCESS);
  }

  /** Writes one completion entry: dword 0, reserved, SQID | SQHD, status | phase | CID. */
  private post(completions: CompletionQueue, queue: SubmissionQueue, slot: number, status: number): boolean {
    const { entry, slots } = this;
    entry[0] = slots.resultOf(slot);
    entry[1] = 0;
    entry[2] = queue.head | (queue.id << 16);
    entry[3] = slots.cid(slot) | (completions.phase << 16) | (status << 17);
    if (this.dmaWriteWords(completions.base + completions.tail * COMPLETION_BYTES, entry, 0, COMPLETION_WORDS) !== 0) {
      this.fail();
      return false;
    }
    completions.advanceTail();
    return true;
  }

  /** The host has made room: what waits goes out, with one interrupt for all of it. */
  private drain(queueId: number): undefined {
    const { slots } = this;
    const completions = queueId < this.completionQueues.length ? this.completionQueues[queueId] : null;
    if (completions === null) return;
    let posted = false;
    while (completions.waitingFirst >= 0 && !completions.full) {
      const slot = completions.waitingFirst;
      completions.waitingFirst = slots.nextOf(slot);
      const queue = this.submissionQueues[slots.queueOf(slot)];
      if (queue !== null && this.post(completions, queue, slot, slots.statusOf(slot))) posted = true;
      slots.release(slot);
    }
    if (posted && completions.interrupts) this.raise(completions.vector);
  }

  /** The end of an I/O command, with one planted fault. */
  private finishFaulty(slot: number): void {
    const { faults, slots } = this;
    if (faults.stall > 0) {
      faults.stall--;
      slots.setState(slot, SLOT_HELD);
    } else if (faults.loseCompletions > 0) {
      faults.loseCompletions--;
      if (slots.statusOf(slot) === SUCCESS) this.io.execute(slot);
      slots.release(slot);
    } else {
      faults.failCommands--;
      this.complete(slot, faults.failStatus);
    }
  }
}
