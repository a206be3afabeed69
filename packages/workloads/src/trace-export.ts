/**
 * Turns the tracepoints of a machine into a trace to look at.
 *
 *     machine        cpu0 task, cpu0 softirq, cpu0 hardirq, cpu1 …    what ran, in which context
 *     devices        one track for each device                        its DMA and its faults
 *     pins           a bar for each pin, from acquire to release
 *     I/O            a bar for each bio, from submission to completion
 *     counters       pinned pages, mapped pages, bios in flight
 *
 * A flow with the number of the bio leads through pin → submit → map → DMA → interrupt → release. Tracepoints know only
 * their own numbers, so the writer finds out what belongs together: a pin to the bio that is submitted next in the same
 * instant, a mapping to the command (or bio) set up next, a device access to the mapping it hits, an unpin to the pin of
 * its frames. Driver code takes no virtual time, so most slices have no width; they lie inside the interrupt or at the
 * instant at which they happened.
 *
 * Track numbers and names depend on the machine alone, not on the order of events. Memory: what is alive, not what has
 * been written.
 */
import { BioOp } from '@pincushion/block';
import { DmaDirection } from '@pincushion/dma';
import type { Machine } from '@pincushion/machine';
import { Context } from '@pincushion/sim';
import type { Tracepoint, World } from '@pincushion/sim';
import { TraceEventWriter } from './trace-event-writer';
import type { TraceArguments, TraceFormat, TraceSink } from './trace-event-writer';

export interface TraceExportOptions {
  readonly format: TraceFormat;
  /** Takes the file piece by piece. */
  readonly sink: TraceSink;
}

const MACHINE = 1;
const DEVICES = 2;
const PINS = 3;
const IO = 4;
const COUNTERS = 5;
const CONTEXTS = 4;
const CONTEXT_NAMES = ['task', 'softirq', 'hardirq', 'device'];
const OP_NAMES: Readonly<Record<number, string>> = Object.freeze({
  [BioOp.read]: 'read',
  [BioOp.write]: 'write',
  [BioOp.flush]: 'flush',
  [BioOp.discard]: 'discard',
  [BioOp.writeZeroes]: 'write zeroes',
});
/** Separates domains in the keys of mapped pages: IOVAs have at most 42 bits, pages 30. */
const PAGES_PER_DOMAIN = 2 ** 36;

/** One run of pages that was pinned by one call. */
interface Pin {
  readonly id: number;
  readonly name: string;
  pages: number;
  flow: Flow | null;
}

/** The way of one bio through the machine. */
interface Flow {
  readonly bio: number;
  begun: boolean;
  /** Pages pinned for it and not yet given back. */
  pinned: number;
  /** Its last step was written. */
  over: boolean;
  touched: boolean;
}

/** A slice that waits for the number of its bio. */
interface Waiting {
  readonly ns: number;
  readonly tid: number;
  readonly name: string;
  readonly args: TraceArguments;
  readonly pin: Pin | null;
  /** Keys of the pages of a mapping. */
  readonly pages: readonly number[];
}

export class TraceExport {
  private readonly world: World;
  private readonly writer: TraceEventWriter;
  private readonly unsubscribe: () => undefined;
  private readonly flows = new Map<number, Flow>();
  /** Pins of each frame, the newest last. */
  private readonly pinsOf = new Map<number, Pin[]>();
  private readonly livePins = new Map<number, Pin>();
  private readonly liveBios = new Map<number, string>();
  /** The flow each mapped page belongs to. */
  private readonly mapped = new Map<number, Flow>();
  private waitingPins: Waiting[] = [];
  private waitingMaps: Waiting[] = [];
  /** Tracks with an open interrupt slice. */
  private readonly open: { tid: number }[] = [];
  private submitted: Flow | null = null;
  private submittedNs = -1;
  private nextPin = 1;
  private pinnedPages = 0;
  private mappedPages = 0;

  /** Starts to write; `machine` must have booted, its devices give the tracks their names. */
  constructor(
    private readonly machine: Machine,
    options: TraceExportOptions,
  ) {
    this.world = machine.world;
    this.writer = new TraceEventWriter(options.format, options.sink);
    this.nameTracks();
    this.unsubscribe = this.world.trace.subscribe((point, a, b, c, d) => {
      this.seen(point, a, b, c, d);
    });
  }

  /** Events written so far. */
  get events(): number {
    return this.writer.count;
  }

  /** Stops listening, ends everything that is still open, and completes the file. */
  close(): void {
    this.unsubscribe();
    this.writeWaiting(null);
    const { now } = this.world;
    while (this.open.length > 0) this.writer.end(now, MACHINE, this.open.pop()?.tid ?? 0);
    for (const [bio, name] of this.liveBios) this.writer.bar('e', now, IO, 'bio', bio, name, {});
    for (const pin of this.livePins.values()) this.writer.bar('e', now, PINS, 'pin', pin.id, pin.name, {});
    for (const flow of this.flows.values()) {
      if (!flow.begun) continue;
      const tid = track(0, Context.task);
      this.writer.begin(now, MACHINE, tid, 'end of the trace', { bio: flow.bio });
      this.writer.flow('f', now, MACHINE, tid, flow.bio);
      this.writer.end(now, MACHINE, tid);
    }
    this.writer.close();
  }

  private nameTracks(): void {
    const { writer, machine } = this;
    writer.processName(MACHINE, machine.name === '' ? 'machine' : machine.name);
    for (let cpu = 0; cpu < machine.description.cpus; cpu++) {
      for (const context of [Context.task, Context.softirq, Context.hardirq]) {
        writer.threadName(MACHINE, track(cpu, context), `cpu${cpu} ${CONTEXT_NAMES[context]}`);
      }
    }
    writer.processName(DEVICES, 'devices');
    writer.threadName(DEVICES, 0, 'device models');
    machine.iommu.domains.forEach((domain) => {
      writer.threadName(DEVICES, domain.id + 1, domain.name);
    });
    writer.processName(PINS, 'pins');
    writer.processName(IO, 'I/O');
    writer.processName(COUNTERS, 'counters');
  }

  private seen(point: Tracepoint, a: number, b: number, c: number, d: number): undefined {
    const waiting = this.waitingPins.at(0) ?? this.waitingMaps.at(0);
    if (waiting !== undefined && waiting.ns !== this.world.now) this.writeWaiting(null);
    if (this.world.now !== this.submittedNs) this.submitted = null;
    switch (point.name) {
      case 'gup:pin':
        this.pin(a, b, c, d);
        break;
      case 'gup:unpin':
        this.unpin(a, b);
        break;
      case 'block:submit':
        this.submit(a, b, c, d);
        break;
      case 'block:complete':
        this.complete(a, b);
        break;
      case 'dma:map':
        this.map(a, b, c, d);
        break;
      case 'dma:unmap':
        this.unmap(a, b, c);
        break;
      case 'dma:access':
        this.access(a, b, c, d !== 0);
        break;
      case 'dma:fault':
        this.deviceSlice(a, 'DMA fault', { iovaPage: b, errno: c, write: d }, null, 't');
        break;
      case 'irq:entry':
        this.interruptEntry(a, b, c);
        break;
      case 'irq:exit':
        this.interruptExit(a);
        break;
      default:
        this.other(point, a, b, c, d);
    }
    return undefined;
  }

  private pin(frame: number, pages: number, owner: number, flags: number): void {
    const pin: Pin = {
      id: this.nextPin++,
      name: `pin ${this.machine.memory.ledger.ownerName(owner)}`,
      pages,
      flow: null,
    };
    for (let i = 0; i < pages; i++) {
      const pins = this.pinsOf.get(frame + i);
      if (pins === undefined) this.pinsOf.set(frame + i, [pin]);
      else pins.push(pin);
    }
    this.livePins.set(pin.id, pin);
    const args = { frame, pages, flags };
    this.writer.bar('b', this.world.now, PINS, 'pin', pin.id, pin.name, args);
    this.waitingPins.push({ ns: this.world.now, tid: this.here(), name: 'pin', args, pin, pages: [] });
    this.count('pinned pages', (this.pinnedPages += pages));
  }

  private unpin(frame: number, pages: number): void {
    let flow: Flow | null = null;
    for (let i = 0; i < pages; i++) {
      const pins = this.pinsOf.get(frame + i);
      const pin = pins?.pop();
      if (pins?.length === 0) this.pinsOf.delete(frame + i);
      if (pin === undefined) continue;
      if (pin.flow !== null) {
        flow = pin.flow;
        flow.pinned--;
      }
      if (--pin.pages === 0) {
        this.livePins.delete(pin.id);
        this.writer.bar('e', this.world.now, PINS, 'pin', pin.id, pin.name, {});
      }
    }
    const over = flow !== null && flow.pinned === 0;
    this.slice(this.here(), 'unpin', { frame, pages }, flow, over ? 'f' : 't');
    if (flow !== null && over) this.forget(flow);
    this.count('pinned pages', (this.pinnedPages -= pages));
  }

  private submit(bio: number, op: number, sector: number, sectors: number): void {
    const name = `${OP_NAMES[op] ?? `op ${op}`} ${bio}`;
    const flow: Flow = { bio, begun: false, pinned: 0, over: false, touched: false };
    this.flows.set(bio, flow);
    this.writeWaiting(flow);
    this.submitted = flow;
    this.submittedNs = this.world.now;
    this.liveBios.set(bio, name);
    const args = { bio, sector, sectors };
    this.slice(this.here(), 'submit', args, flow, 't');
    this.writer.bar('b', this.world.now, IO, 'bio', bio, name, args);
    this.count('bios in flight', this.liveBios.size);
  }

  private complete(bio: number, status: number): void {
    const flow = this.flows.get(bio) ?? null;
    const name = this.liveBios.get(bio);
    if (name !== undefined) {
      this.liveBios.delete(bio);
      this.writer.bar('e', this.world.now, IO, 'bio', bio, name, {});
    }
    const over = flow !== null && flow.pinned === 0;
    this.slice(this.here(), 'complete', { bio, status }, flow, over ? 'f' : 't');
    if (flow !== null && over) this.forget(flow);
    this.count('bios in flight', this.liveBios.size);
  }

  private map(domain: number, iovaPage: number, pages: number, direction: number): void {
    const keys: number[] = [];
    for (let i = 0; i < pages; i++) keys.push(domain * PAGES_PER_DOMAIN + iovaPage + i);
    const args = { device: this.deviceName(domain), iovaPage, pages, direction: directionName(direction) };
    this.waitingMaps.push({ ns: this.world.now, tid: this.here(), name: 'map', args, pin: null, pages: keys });
    this.count('mapped pages', (this.mappedPages += pages));
  }

  private unmap(domain: number, iovaPage: number, pages: number): void {
    const first = domain * PAGES_PER_DOMAIN + iovaPage;
    const flow = this.mapped.get(first) ?? null;
    for (let i = 0; i < pages; i++) this.mapped.delete(first + i);
    this.slice(this.here(), 'unmap', { device: this.deviceName(domain), iovaPage, pages }, flow, 't');
    this.count('mapped pages', (this.mappedPages -= pages));
  }

  private access(domain: number, iovaPage: number, bytes: number, write: boolean): void {
    if (this.waitingMaps.length > 0) this.writeMaps(this.submitted);
    const flow = this.mapped.get(domain * PAGES_PER_DOMAIN + iovaPage) ?? null;
    const first = flow !== null && !flow.touched;
    if (flow !== null) flow.touched = true;
    this.deviceSlice(domain, write ? 'DMA write' : 'DMA read', { iovaPage, bytes }, first ? flow : null, 't');
  }

  private interruptEntry(cpu: number, vector: number, device: number): void {
    const tid = track(cpu, Context.hardirq);
    const name = this.machine.bus.pathOf(device) ?? `device ${device}`;
    this.writer.begin(this.world.now, MACHINE, tid, `irq ${name}`, { vector });
    this.open.push({ tid });
  }

  private interruptExit(cpu: number): void {
    const tid = track(cpu, Context.hardirq);
    const at = this.open.findLastIndex((slice) => slice.tid === tid);
    if (at < 0) return;
    this.open.splice(at, 1);
    this.writer.end(this.world.now, MACHINE, tid);
  }

  /** A tracepoint this writer does not know, a driver's own: a slice with its numbers; a field `bioId` joins the flow. */
  private other(point: Tracepoint, ...values: number[]): void {
    const args: Record<string, number> = {};
    point.fields.forEach((field, i) => {
      args[field] = values[i];
    });
    const flow = Object.hasOwn(args, 'bioId') ? (this.flows.get(args['bioId']) ?? null) : null;
    if (flow !== null && this.waitingMaps.length > 0) this.writeMaps(flow);
    this.slice(this.here(), point.name, args, flow, 't');
  }

  /** Writes the slices that waited to learn their bio; null: they belong to none. */
  private writeWaiting(flow: Flow | null): void {
    const pins = this.waitingPins;
    this.waitingPins = [];
    for (const { ns, tid, name, args, pin } of pins) {
      if (flow !== null && pin !== null) {
        pin.flow = flow;
        flow.pinned += pin.pages;
      }
      this.slice(tid, name, args, flow, 't', ns);
    }
    if (this.waitingMaps.length > 0) this.writeMaps(this.submitted);
  }

  private writeMaps(flow: Flow | null): void {
    const maps = this.waitingMaps;
    this.waitingMaps = [];
    for (const { ns, tid, name, args, pages } of maps) {
      if (flow !== null) for (const page of pages) this.mapped.set(page, flow);
      this.slice(tid, name, args, flow, 't', ns);
    }
  }

  private slice(
    tid: number,
    name: string,
    args: TraceArguments,
    flow: Flow | null,
    phase: 't' | 'f',
    ns = this.world.now,
  ): void {
    const pid = tid < 0 ? DEVICES : MACHINE;
    const place = tid < 0 ? 0 : tid;
    this.writer.begin(ns, pid, place, name, args);
    this.flow(flow, phase, ns, pid, place);
    this.writer.end(ns, pid, place);
  }

  private deviceSlice(domain: number, name: string, args: TraceArguments, flow: Flow | null, phase: 't' | 'f'): void {
    this.writer.begin(this.world.now, DEVICES, domain + 1, name, args);
    this.flow(flow, phase, this.world.now, DEVICES, domain + 1);
    this.writer.end(this.world.now, DEVICES, domain + 1);
  }

  private flow(flow: Flow | null, phase: 't' | 'f', ns: number, pid: number, tid: number): void {
    if (flow === null || flow.over) return;
    // A flow of one slice leads nowhere.
    if (phase === 'f' && !flow.begun) return;
    this.writer.flow(flow.begun ? phase : 's', ns, pid, tid, flow.bio);
    flow.begun = true;
  }

  private forget(flow: Flow): void {
    flow.over = true;
    this.flows.delete(flow.bio);
    if (this.submitted === flow) this.submitted = null;
  }

  private count(name: string, value: number): void {
    this.writer.counter(this.world.now, COUNTERS, name, value);
  }

  private deviceName(domain: number): string {
    return domain < this.machine.iommu.domains.length ? this.machine.iommu.domains[domain].name : `domain ${domain}`;
  }

  /** The track of the code that runs now. */
  private here(): number {
    const { contexts } = this.world;
    return contexts.current === Context.device ? -1 : track(contexts.cpu, contexts.current);
  }
}

function track(cpu: number, context: number): number {
  return cpu * CONTEXTS + context + 1;
}

function directionName(direction: number): string {
  return Object.entries(DmaDirection).find(([, value]) => value === direction)?.[0] ?? String(direction);
}
