/**
 * The NVMe controller: registers, doorbells, command fetch; its parts do the rest.
 *
 *   host writes a submission queue entry into its memory, then the tail doorbell
 *     -> the controller fetches the entry by DMA, checks it, and knows when it will be done       (fetch)
 *   that time comes
 *     -> data moves by DMA (io-commands, admin-commands), a completion entry with the queue's phase bit is written by DMA,
 *        the queue's interrupt vector is raised                                                    (finish; completion-path)
 *   the host has looked at entries up to some head, and writes the head doorbell
 *     -> completions that found the queue full go out                                              (drain)
 *
 * Host memory is reached by DMA alone; when the bus refuses a fetch or a completion entry, the controller reports a fatal
 * status and stops, for it has lost the thread.
 * Left out: weighted arbitration (queues are served as they ring), subsystem reset.
 * Source: NVM Express Base Specification 1.4.
 */
import type { HardwareMeta } from '@pincushion/driver';
import { DeviceModel, hardware } from '@pincushion/driver';
import { CMB_BAR, PMR_BAR, REG_CC, REG_DOORBELLS, SQE_BYTES, SQE_WORDS } from '../spec/registers';
import { NvmeStatus } from '../spec/status';
import { HELD } from './commands/admin-commands';
import type { BusMaster } from './data/bus-master';
import { CommandSlots, SLOT_BUSY, SLOT_HELD } from './queues/command-slots';
import type { CommandTiming, DeviceTime } from './timing/command-timing';
import { ControllerConfig, QUEUE_PAIRS_MAX } from './controller-config';
import { ControllerLife } from './controller-life';
import { makeParts } from './controller-parts';
import type { ControllerParts, ControllerPort } from './controller-parts';
import { Doorbells } from './queues/doorbells';
import { EarlyEnd } from './queues/early-end';
import { FaultDetour } from './faults/fault-detour';
import { openNamespace } from './media/image-file';
import type { IoCommands } from './commands/io-commands';
import type { Namespace } from './media/namespace';
import { NamespaceTable } from './media/namespace-table';
import { PlannedFaults } from './faults/planned-faults';
import type { CompletionQueue, SubmissionQueue } from './queues/queues';
import type { RegisterFile } from './register-file';
import { StruckCommands } from './faults/struck-commands';
import type { PlanOfFaults } from './faults/struck-commands';
import { commandTiming } from './timing/timing';

/** PCI ids of the reference controller. */
const NVME_VENDOR = 0x1b36;
const NVME_DEVICE = 0x0010;
/** One vector for the admin queue, one for each I/O queue pair. */
const VECTORS = QUEUE_PAIRS_MAX + 1;

// Imported bindings are getters once compiled; the hot functions read constants of the module.
const SUCCESS = NvmeStatus.success;
const CONFLICT = NvmeStatus.commandIdConflict;
const BUSY = SLOT_BUSY;
const DOORBELLS = REG_DOORBELLS;
const ENTRY_BYTES = SQE_BYTES;
const ENTRY_WORDS = SQE_WORDS;

const HIGH_WORD = 0x1_0000_0000;

const META: Readonly<HardwareMeta> = {
  name: 'nvme',
  vendor: NVME_VENDOR,
  device: NVME_DEVICE,
  bars: [
    { bytes: 0x4000 },
    { bytes: 0 },
    { bytes: (model: ControllerConfig) => model.cmb, memory: true },
    { bytes: 0 },
    { bytes: (model: ControllerConfig) => model.pmr, memory: true },
  ],
  vectors: VECTORS,
  config: ControllerConfig,
};

@hardware(META)
export class NvmeController extends DeviceModel<ControllerConfig> implements ControllerPort {
  readonly submissionQueues: (SubmissionQueue | null)[] = [];
  readonly completionQueues: (CompletionQueue | null)[] = [];
  /** For tests. */
  readonly faults = new PlannedFaults();
  private readonly slots = new CommandSlots();
  /** The namespaces; their content survives resets. */
  private readonly table = new NamespaceTable();
  private parts!: ControllerParts;
  private timing!: CommandTiming;
  private detour!: FaultDetour;
  private life!: ControllerLife;
  private doorbells!: Doorbells;
  private early!: EarlyEnd;
  // Of the parts, what every command needs.
  private registers!: RegisterFile;
  private io!: IoCommands;
  /** This controller's DMA, or its own memory before it. */
  private bus: BusMaster = this;
  private finishHandler = 0;
  private drainHandler = 0;
  private expiryHandler = 0;

  override powerOn(): void {
    const { config, slots, table } = this;
    for (const [i, settings] of config.namespaces.entries()) {
      const id = settings.nsid ?? i + 1;
      table.add(openNamespace(id, settings, this.hostFiles), settings.attached);
    }
    for (let id = 0; id <= config.queuePairs; id++) {
      this.submissionQueues[id] = null;
      this.completionQueues[id] = null;
    }
    this.timing = this.makeTiming();
    const [cmb, pmr] = [this.barMemory(CMB_BAR), this.barMemory(PMR_BAR)];
    this.parts = makeParts(this, { config, slots, table, timing: this.timing, cmb, pmr });
    this.registers = this.parts.registers;
    this.io = this.parts.io;
    const { shadows, errors, events } = this.parts;
    this.life = new ControllerLife(this, this.parts, slots, table, this.timing, this.faults);
    this.doorbells = new Doorbells(this, this.registers, shadows, errors, events);
    this.early = new EarlyEnd(slots, (slot, status) => {
      this.complete(slot, status);
    });
    const survival = this.stream('powercut');
    const plan: PlanOfFaults = {
      strike: (site, first, sectors) => this.ioFault(site, first, sectors),
      cutsPower: () => this.faultPlanned('powercut'),
      survives: () => survival.below(2) === 1,
    };
    const struck = new StruckCommands(plan, slots, this.io, table.active);
    this.detour = new FaultDetour(this, slots, this.faults, this.io, struck);
    this.finishHandler = this.handler('finish', (slot) => {
      this.finish(slot);
    });
    this.drainHandler = this.handler('drain', (queueId) => {
      const queue = this.completionQueues.at(queueId) ?? null;
      if (queue !== null) this.parts.completions.drain(queue);
    });
    this.expiryHandler = this.handler('gathered', (vector) => {
      this.parts.gathering.expired(vector);
    });
  }

  /** By namespace id; null where none is attached. */
  get namespaces(): readonly (Namespace | null)[] {
    return this.table.active;
  }

  /** A function-level reset: queues and settings are gone, the namespaces keep their content. */
  override reset(): void {
    this.life.stopCommands();
    this.registers.reset();
    this.parts.memory.reset();
    this.followMemory();
  }

  override unplug(): void {
    super.unplug();
    for (const namespace of this.table.allocated) namespace?.close();
  }

  // Events from outside

  /** Health conditions from now on: bits of the critical warning of the SMART log. A new one may be an asynchronous event. */
  reportHealth(criticalWarning: number): void {
    this.parts.health.report(criticalWarning);
  }

  /** A namespace gets another size, at most its capacity; the host is told if it wants to know. */
  resizeNamespace(nsid: number, blocks: number): void {
    this.parts.namespaceCommands.resize(nsid, blocks);
  }

  /** As Namespace Attachment does it. Returns a status. */
  attachNamespace(nsid: number): number {
    return this.parts.namespaceCommands.attachOne(nsid);
  }

  detachNamespace(nsid: number): number {
    return this.parts.namespaceCommands.detachOne(nsid);
  }

  override mmioRead(_bar: number, offset: number, width: 1 | 2 | 4 | 8): number {
    return offset >= DOORBELLS ? 0 : this.registers.read(offset, width);
  }

  override mmioWrite(_bar: number, offset: number, value: number, width: 1 | 2 | 4 | 8): void {
    if (offset >= DOORBELLS) this.doorbells.ring(offset - DOORBELLS, value);
    else this.writeRegister(offset, value, width);
  }

  // The bus, time and interrupts, as the parts of the controller use them.
  override dmaRead(iova: number, into: Uint8Array, at: number, n: number): number {
    return super.dmaRead(iova, into, at, n);
  }

  override dmaWrite(iova: number, from: Uint8Array, at: number, n: number): number {
    return super.dmaWrite(iova, from, at, n);
  }

  override dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    return super.dmaReadWords(iova, into, at, words);
  }

  override dmaWriteWords(iova: number, from: Int32Array, at: number, words: number): number {
    return super.dmaWriteWords(iova, from, at, words);
  }

  override dmaFill(iova: number, byte: number, n: number): number {
    return super.dmaFill(iova, byte, n);
  }

  override dmaCheck(iova: number, n: number, write: boolean): number {
    return super.dmaCheck(iova, n, write);
  }

  override raise(vector: number): void {
    super.raise(vector);
  }

  override cancel(event: number): boolean {
    return super.cancel(event);
  }

  scheduleExpiry(ns: number, vector: number): number {
    return this.schedule(ns, this.expiryHandler, vector);
  }

  nowNs(): number {
    return this.now;
  }

  abortQueue(queueId: number, status: number): void {
    this.early.ofQueue(queueId, status);
  }

  abortCommand(queueId: number, cid: number, status: number): boolean {
    return this.early.ofCommand(queueId, cid, status);
  }

  dropWaiting(queue: CompletionQueue): void {
    this.parts.completions.dropWaiting(queue);
  }

  completeHeld(slot: number, result: number): undefined {
    this.slots.setResult(slot, result);
    this.complete(slot, SUCCESS);
  }

  /** The bus has refused a ring: the controller has lost the thread. */
  fail(): void {
    this.life.fail();
  }

  scheduleDrain(queueId: number): void {
    this.schedule(0, this.drainHandler, queueId);
  }

  private makeTiming(): CommandTiming {
    const capacities = this.table.allocated.map((each) => (each === null ? 0 : each.blocks * each.blockBytes));
    const time: DeviceTime = {
      nowNs: () => this.now,
      handler: (name, run) => this.handler(name, run),
      schedule: (ns, id, arg) => this.schedule(ns, id, arg),
    };
    return commandTiming(this.config.latency, time, this.stream('latency'), capacities, (slot) => {
      this.finish(slot);
    });
  }

  /** 8 bytes are two dwords, the lower first. */
  private writeRegister(offset: number, value: number, width: number): void {
    if (offset === REG_CC) {
      this.life.configure(value | 0);
    } else {
      this.registers.write(offset, value | 0);
      this.followMemory();
    }
    if (width === 8) this.writeRegister(offset + 4, Math.floor(value / HIGH_WORD), 4);
  }

  /** The host may have opened or closed the controller's memory. */
  private followMemory(): void {
    const { parts, io } = this;
    const isOpen = parts.memory.enabled;
    this.bus = isOpen ? parts.localBus : this;
    io.plain = !isOpen;
    io.bus = parts.pointer.bus = parts.transfer.bus = this.bus;
  }

  /** Takes every entry up to the tail into a slot and schedules its end. */
  fetch(queue: SubmissionQueue): void {
    const { slots } = this;
    const { id, size } = queue;
    let { head } = queue;
    while (head !== queue.tail) {
      const slot = slots.alloc(id);
      if (this.bus.dmaReadWords(queue.base + head * ENTRY_BYTES, slots.words, slots.at(slot), ENTRY_WORDS) !== 0) {
        slots.release(slot);
        this.fail();
        return;
      }
      head = head + 1 === size ? 0 : head + 1;
      queue.head = head;
      const delayNs = queue.take(slots.cid(slot)) ? this.accept(id, slot) : this.refuse(slot);
      if (delayNs >= 0) this.schedule(delayNs, this.finishHandler, slot);
    }
  }

  private accept(queueId: number, slot: number): number {
    return queueId === 0 ? this.timing.admin() : this.io.accept(slot, this.now);
  }

  /** The command identifier is that of a command inside. */
  private refuse(slot: number): number {
    this.slots.setStatus(slot, CONFLICT);
    return this.timing.admin();
  }

  /** The time of a command has come. */
  private finish(slot: number): void {
    const { slots } = this;
    if (slots.stateOf(slot) !== BUSY) {
      slots.release(slot);
    } else if (slots.queueOf(slot) === 0) {
      this.finishAdmin(slot);
    } else if (this.faults.armed || this.completionsWatched) {
      this.detour.finish(slot);
    } else {
      const status = slots.statusOf(slot);
      this.complete(slot, status === SUCCESS ? this.io.execute(slot) : status);
    }
  }

  private finishAdmin(slot: number): void {
    const { slots, parts } = this;
    if (this.faults.stallAdmin > 0) {
      this.faults.stallAdmin--;
      slots.setState(slot, SLOT_HELD);
      return;
    }
    const refusal = slots.statusOf(slot);
    const status = refusal === SUCCESS ? parts.admin.execute(slot) : refusal;
    this.io.writeCache = parts.features.writeCacheOn;
    if (status === HELD) {
      slots.setState(slot, SLOT_HELD);
      parts.events.deliver();
    } else {
      this.complete(slot, status);
    }
  }

  /** Posts the completion of a slot and gives the slot back, or lets it wait for room. */
  complete(slot: number, status: number): void {
    const { slots } = this;
    const queue = this.submissionQueues[slots.queueOf(slot)];
    if (queue === null) {
      slots.release(slot);
      return;
    }
    if (status !== CONFLICT) queue.give(slots.cid(slot));
    if (status !== SUCCESS) this.parts.errors.failed(slots, slot, status);
    if (this.completionsWatched) this.completeWatched(queue, slot, status);
    else this.parts.completions.publish(queue, slot, status);
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
      this.parts.completions.publish(queue, stand, status);
    });
  }
}
