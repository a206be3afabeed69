/**
 * A flash drive: firmware, dies, channels, link, write buffer, garbage collection.
 *
 *   read    firmware -> for each row of flash pages that it touches: die, channel, link -> over with the last of them
 *   write   room in the buffer -> firmware and link -> acknowledged; behind it full shots are programmed, die after die
 *           durable (FUA, or no buffer in use): the begun shot is filled up, over when its programs are
 *   flush   firmware -> the begun shot is filled up -> over when all programs before it are
 *
 * What waits, waits in queues that events empty: a channel is asked for when the data of a read are there, the link when
 * they are in the controller. Each direction of the link is a limit of its own.
 * A unit of 4 KiB is the smallest thing written: part of one takes the place of a whole. What is still in the buffer is
 * read from there. A unit never written, or deallocated, is read where writing the drive in order would have put it.
 * Left out: reading the rest of a unit that is written in part, read disturb and refresh, wear levelling, power-loss
 * protection, a cache of the map, suspended programs.
 */
import type { CommandTiming, DeviceTime } from '../command-timing';
import { LATER } from '../command-timing';
import type { FlashSettings } from '../timing-settings';
import { CommandTable, FLUSH, IDLE, READ, TIMED, WAITING, WORKING, WRITE } from './command-table';
import { FlashArray, FlashOp } from './flash-array';
import { FlashTimes } from './flash-times';
import { GarbageCollector } from './garbage-collector';
import { FlashGeometry, UNIT_BYTES } from './geometry';
import { FlashLines, GC_STREAM, HOST_STREAM } from './lines';
import { NOWHERE } from './place-map';
import { WriteBuffer } from './write-buffer';

// Imported bindings are getters once compiled; the hot functions read constants of the module.
const HOST_READ = FlashOp.hostRead;
const GC_READ = FlashOp.gcRead;
const HOST_PROGRAM = FlashOp.hostProgram;
const GC_PROGRAM = FlashOp.gcProgram;
const OVER_LATER = LATER;
const NO_PLACE = NOWHERE;
const UNIT = UNIT_BYTES;
const IS_READ = READ;
const IS_WRITE = WRITE;
const IN_TIME = TIMED;
const AT_WORK = WORKING;

/** Units in a page of the interface (16 KiB). */
const PAGE_UNITS = 4;
const PAGES_MASK = 0x3fff_ffff;
/** A program that no command waits for. */
const NOBODY = -1;

/** What the flash has done so far. */
export interface FlashCounts {
  /** Units of 4 KiB that the host wrote, that garbage collection moved, that only filled up. */
  readonly host: number;
  readonly moved: number;
  readonly padding: number;
  readonly linesCollected: number;
  readonly linesFree: number;
  readonly validUnits: number;
}

export class FlashTiming implements CommandTiming {
  readonly geometry: FlashGeometry;
  private readonly times: FlashTimes;
  private readonly lines: FlashLines;
  private readonly array: FlashArray;
  private readonly collector: GarbageCollector;
  private readonly buffer: WriteBuffer;
  private readonly commands = new CommandTable();
  /** First unit of each namespace. */
  private readonly firstUnits: readonly number[];
  private readonly arriveHandler: number;
  private readonly sentHandler: number;
  /** When each direction of the link is free. */
  private toHostFreeNs = 0;
  private fromHostFreeNs = 0;
  private readonly hasBuffer: boolean;
  private isResetting = false;

  /** @param namespaceBytes size of each namespace, by its id */
  constructor(
    private readonly settings: FlashSettings,
    private readonly time: DeviceTime,
    namespaceBytes: readonly number[],
    private readonly ended: (slot: number) => undefined,
  ) {
    let units = 0;
    this.firstUnits = namespaceBytes.map((bytes) => {
      const first = units;
      units += Math.ceil(bytes / UNIT);
      return first;
    });
    const geometry = new FlashGeometry(settings, units * UNIT);
    this.geometry = geometry;
    this.times = new FlashTimes(settings, geometry);
    this.lines = new FlashLines(geometry, settings.preconditioned);
    this.array = new FlashArray(geometry.dies, geometry.channels, settings.cacheReads, time, (op) => {
      this.opEnded(op);
    });
    this.collector = new GarbageCollector(geometry, this.lines, this.array, this.times, settings.gcFreeLines, {
      program: (kind) => {
        this.program(kind, NOBODY);
      },
      roomMade: () => {
        this.admitWrites();
      },
    });
    this.hasBuffer = settings.writeBufferBytes > 0;
    this.buffer = new WriteBuffer(this.commands, Math.floor(settings.writeBufferBytes / UNIT), geometry.shotUnits);
    this.arriveHandler = time.handler('command in firmware', (slot) => {
      this.arrive(slot);
    });
    this.sentHandler = time.handler('data sent', (slot) => {
      this.finish(slot);
    });
  }

  read(_nowNs: number, page: number, offset: number, bytes: number, slot: number, nsid: number): number {
    this.commands.enter(slot, IS_READ, this.unitOf(page, offset, nsid), offset & (UNIT - 1), bytes);
    this.time.schedule(this.times.firmwareReadNs(bytes), this.arriveHandler, slot);
    return OVER_LATER;
  }

  write(
    nowNs: number,
    page: number,
    offset: number,
    bytes: number,
    durable: boolean,
    slot: number,
    nsid: number,
  ): number {
    const { commands, buffer } = this;
    commands.enter(slot, IS_WRITE, this.unitOf(page, offset, nsid), offset & (UNIT - 1), bytes);
    if (durable || !this.hasBuffer) commands.setDurable(slot);
    if (buffer.waiting < 0 && this.canTake(slot)) {
      this.take(slot, nowNs);
    } else {
      commands.setState(slot, WAITING);
      buffer.wait(slot);
    }
    return OVER_LATER;
  }

  flush(_nowNs: number, slot: number): number {
    this.commands.enter(slot, FLUSH, 0, 0, 1);
    this.time.schedule(this.settings.firmwareWriteNs, this.arriveHandler, slot);
    return OVER_LATER;
  }

  trim(): number {
    return this.settings.trimNs;
  }

  deallocate(nsid: number, firstByte: number, bytes: number): void {
    const base = this.firstUnits[nsid];
    const from = Math.ceil(firstByte / UNIT);
    const end = Math.floor((firstByte + bytes) / UNIT);
    const last = base + end < this.geometry.units ? base + end : this.geometry.units;
    if (base + from < last) this.lines.deallocate(base + from, last);
  }

  admin(): number {
    return this.settings.adminNs;
  }

  reset(): void {
    const { commands } = this;
    this.isResetting = true;
    if (this.lines.close(HOST_STREAM)) this.program(HOST_PROGRAM, NOBODY);
    this.array.drop();
    this.collector.reset();
    this.buffer.reset();
    this.toHostFreeNs = 0;
    this.fromHostFreeNs = 0;
    this.isResetting = false;
    for (let slot = 0; slot < commands.count; slot++) {
      if (commands.kindOf(slot) === IDLE) continue;
      if (commands.stateOf(slot) === IN_TIME) commands.setDropped(slot);
      else this.finish(slot);
    }
  }

  /** What the flash has done so far; for tests and reports. */
  get counts(): FlashCounts {
    const { unitsWritten } = this.lines;
    return {
      host: unitsWritten[HOST_STREAM],
      moved: unitsWritten[GC_STREAM],
      padding: unitsWritten[2],
      linesCollected: this.collector.linesCollected,
      linesFree: this.lines.free,
      validUnits: this.lines.validUnits,
    };
  }

  /** Throws INTERNAL unless the map and the lines agree; for tests. */
  checkLines(): void {
    this.lines.check();
  }

  /** Number of the unit in the drive. */
  private unitOf(page: number, offset: number, nsid: number): number {
    return (page & PAGES_MASK) * PAGE_UNITS + (offset >>> 12) + this.firstUnits[nsid];
  }

  /** A namespace that has grown since power-on uses the flash from its beginning again: that only shifts times. */
  private within(unit: number): number {
    const { units } = this.geometry;
    return unit < units ? unit : unit % units;
  }

  /** The firmware has done its part. */
  private arrive(slot: number): undefined {
    const { commands } = this;
    const kind = commands.kindOf(slot);
    if (commands.isDropped(slot)) this.finish(slot);
    else if (kind === IS_READ) this.readRows(slot);
    else if (kind === IS_WRITE) this.written(slot);
    else this.flushBuffer(slot);
  }

  // --- reads --------------------------------------------------------------------------------------------------------

  /** One operation for each run of units that lie in one row; none for what is in the controller's memory. */
  private readRows(slot: number): void {
    const { commands, lines, geometry } = this;
    const first = commands.firstOf(slot);
    const units = commands.unitsOf(slot);
    const bytes = commands.bytesOf(slot);
    const offset = commands.offsetOf(slot);
    commands.setState(slot, AT_WORK);
    if (units === 1) {
      const place = lines.readPlace(this.within(first));
      if (place === NO_PLACE) this.send(slot, bytes);
      else this.readRow(slot, geometry.rowOf(place), bytes);
      return;
    }
    commands.addLeft(slot, 1); // Until all operations have begun.
    let row = NO_PLACE;
    let rowBytes = 0;
    for (let i = 0; i < units; i++) {
      const begin = i === 0 ? offset : 0;
      const end = i === units - 1 ? offset + bytes - i * UNIT : UNIT;
      const place = lines.readPlace(this.within(first + i));
      const rowHere = place === NO_PLACE ? NO_PLACE : geometry.rowOf(place);
      if (rowHere !== row) {
        if (row !== NO_PLACE) this.readRow(slot, row, rowBytes);
        row = rowHere;
        rowBytes = 0;
      }
      if (rowHere === NO_PLACE) this.bookToHost(end - begin);
      else rowBytes += end - begin;
    }
    if (row !== NO_PLACE) this.readRow(slot, row, rowBytes);
    if (commands.addLeft(slot, -1) === 0) this.send(slot, 0);
  }

  private readRow(slot: number, row: number, bytes: number): void {
    const { geometry, times } = this;
    this.commands.addLeft(slot, 1);
    const arrayNs = geometry.isSlow(row) ? times.readMsbNs : times.readLsbNs;
    this.array.begin(HOST_READ, geometry.dieOf(row), times.channelNs(bytes), arrayNs, slot, bytes);
  }

  /** Data of a read are in the controller: on to the host, and over if they are the last. */
  private rowArrived(slot: number, bytes: number): void {
    if (this.commands.addLeft(slot, -1) > 0) this.bookToHost(bytes);
    else this.send(slot, bytes);
  }

  private send(slot: number, bytes: number): void {
    this.bookToHost(bytes);
    const now = this.time.nowNs();
    this.commands.setState(slot, IN_TIME);
    this.time.schedule(this.toHostFreeNs - now, this.sentHandler, slot);
  }

  private bookToHost(bytes: number): void {
    const now = this.time.nowNs();
    if (this.toHostFreeNs < now) this.toHostFreeNs = now;
    this.toHostFreeNs += this.times.linkNs(bytes);
  }

  // --- writes -------------------------------------------------------------------------------------------------------

  private canTake(slot: number): boolean {
    const units = this.commands.unitsOf(slot);
    if (this.collector.isNeeded && this.collector.credits < units) return false;
    return !this.hasBuffer || this.buffer.takes(units);
  }

  /** The write has room: its data come over the link. */
  private take(slot: number, nowNs: number): void {
    const { commands, times } = this;
    const units = commands.unitsOf(slot);
    if (this.collector.isNeeded) this.collector.credits -= units;
    if (this.hasBuffer) this.buffer.room -= units;
    const linkNs = times.linkNs(commands.bytesOf(slot));
    const readyNs = nowNs + times.firmwareWriteNs(units) + linkNs;
    const linkFreeNs = (this.fromHostFreeNs > nowNs ? this.fromHostFreeNs : nowNs) + linkNs;
    this.fromHostFreeNs = linkFreeNs;
    commands.setState(slot, IN_TIME);
    this.time.schedule((linkFreeNs > readyNs ? linkFreeNs : readyNs) - nowNs, this.arriveHandler, slot);
  }

  private admitWrites(): void {
    const { buffer } = this;
    for (let slot = buffer.waiting; slot >= 0 && this.canTake(slot); slot = buffer.waiting) {
      buffer.letIn();
      this.take(slot, this.time.nowNs());
    }
  }

  /** The data of a write are in the controller. */
  private written(slot: number): void {
    const { commands, lines } = this;
    const first = commands.firstOf(slot);
    const units = commands.unitsOf(slot);
    const waiter = commands.isDurable(slot) ? slot : NOBODY;
    if (waiter >= 0) commands.setState(slot, AT_WORK);
    for (let i = 0; i < units; i++) {
      if (lines.append(HOST_STREAM, this.within(first + i))) this.program(HOST_PROGRAM, waiter);
    }
    if (waiter >= 0) this.closeShot(waiter);
    else this.finish(slot);
    this.collector.start();
  }

  private closeShot(waiter: number): void {
    const { lines } = this;
    if (!lines.close(HOST_STREAM)) return;
    const padding = this.geometry.shotUnits - lines.shotFilled;
    if (this.collector.isNeeded) this.collector.credits -= padding;
    this.program(HOST_PROGRAM, waiter);
  }

  /** Programs the shot that the lines have just completed. */
  private program(kind: number, waiter: number): void {
    const { array, lines, times } = this;
    const epoch = kind === HOST_PROGRAM ? this.buffer.programBegins() : 0;
    if (waiter >= 0) this.commands.addLeft(waiter, 1);
    const die = lines.shot % this.geometry.dies;
    const op = array.begin(kind, die, times.shotNs, times.programNs, waiter, lines.shotFilled);
    array.setShot(op, lines.shotLine, epoch);
  }

  private programmed(op: number): void {
    const { array } = this;
    const waiter = array.ownerOf(op);
    this.lines.shotProgrammed(array.lineOf(op), array.dieOf(op));
    if (this.isResetting) return;
    if (array.kindOf(op) === HOST_PROGRAM) {
      this.buffer.room += array.amountOf(op);
      this.buffer.programEnded(array.epochOf(op));
    }
    if (waiter >= 0 && this.commands.addLeft(waiter, -1) === 0) this.finish(waiter);
    this.endFlushes();
    this.collector.start();
    this.admitWrites();
  }

  private flushBuffer(slot: number): void {
    this.closeShot(NOBODY);
    this.commands.setState(slot, WAITING);
    this.buffer.flush(slot);
    this.endFlushes();
  }

  private endFlushes(): void {
    for (let slot = this.buffer.flushed(); slot >= 0; slot = this.buffer.flushed()) this.finish(slot);
  }

  // ------------------------------------------------------------------------------------------------------------------

  private opEnded(op: number): undefined {
    const { array } = this;
    const kind = array.kindOf(op);
    if (kind === HOST_PROGRAM || kind === GC_PROGRAM) this.programmed(op);
    else if (this.isResetting) return;
    else if (kind === HOST_READ) this.rowArrived(array.ownerOf(op), array.amountOf(op));
    else if (kind === GC_READ) this.collector.rowRead(array.ownerOf(op), array.amountOf(op));
    else this.collector.dieErased();
  }

  private finish(slot: number): undefined {
    this.commands.leave(slot);
    this.ended(slot);
  }
}
