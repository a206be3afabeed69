/**
 * Dies and channels: operations wait for them in the order in which they come, and nothing is booked ahead.
 *
 *   read      die: array -> cache register -> channel -> over
 *   program   channel -> die's data register -> die: array -> over
 *   erase     die: array -> over
 *
 * A die does one operation at a time. With `cacheReads` it is free for the next as soon as the data are in the cache
 * register, and waits only if the one before is still there; otherwise it is busy until they have left. The data of a
 * program may come in while the die is busy: the next program of it begins without a pause.
 * Because the channel is asked for when the data are there, a die that many wait for does not hold up its channel.
 * Left out: suspending a program or erase for a read, planes that read independently of each other.
 */
import type { DeviceTime } from '../command-timing';

export const FlashOp = { hostRead: 0, gcRead: 1, hostProgram: 2, gcProgram: 3, erase: 4 } as const;

const GC_READ = FlashOp.gcRead;
const HOST_PROGRAM = FlashOp.hostProgram;
const ERASE = FlashOp.erase;

/** Words of an operation. */
const SHIFT = 4;
const KIND = 0;
const DIE = 1;
const NEXT = 2;
const TRANSFER_NS = 3;
const ARRAY_NS = 4;
const STATE = 5;
const OWNER = 6;
const AMOUNT = 7;
const LINE = 8;
const EPOCH = 9;

/** No event: in a queue. */
const WAITING = 0;
/** Events on their way. */
const IN_ARRAY = 1;
const ON_CHANNEL = 2;
/** No event: read, but the cache register is taken. */
const READ_OUT = 3;
/** Of before a reset: does nothing when its event comes. */
const DROPPED = 4;

const NONE = -1;
const OPS_FIRST = 256;

/** Hears of the end of each operation, while `array` still has what was said of it. */
export type OpEnded = (op: number) => undefined;

export class FlashArray {
  private words = new Int32Array(OPS_FIRST << SHIFT);
  private free = NONE;
  private made = 0;
  // By die: what its array does; who has the cache register, and who waits for the array.
  private readonly running: Int32Array;
  private readonly cached: Int32Array;
  private readonly dieFirst: Int32Array;
  private readonly dieLast: Int32Array;
  // By die: whose data come or stand in the data register, and who waits for it.
  private readonly loading: Int32Array;
  private readonly loadFirst: Int32Array;
  private readonly loadLast: Int32Array;
  // By channel: who is on it, and who waits for it.
  private readonly sending: Int32Array;
  private readonly channelFirst: Int32Array;
  private readonly channelLast: Int32Array;
  private readonly stageHandler: number;

  constructor(
    dies: number,
    private readonly channels: number,
    private readonly cacheReads: boolean,
    private readonly time: DeviceTime,
    private readonly ended: OpEnded,
  ) {
    const none = (count: number): Int32Array => new Int32Array(count).fill(NONE);
    this.running = none(dies);
    this.cached = none(dies);
    this.dieFirst = none(dies);
    this.dieLast = none(dies);
    this.loading = none(dies);
    this.loadFirst = none(dies);
    this.loadLast = none(dies);
    this.sending = none(channels);
    this.channelFirst = none(channels);
    this.channelLast = none(channels);
    this.stageHandler = time.handler('flash', (op) => {
      this.stage(op);
    });
  }

  /**
   * Begins an operation on a die and returns it. What `owner` and `amount` mean is the caller's.
   * @param transferNs on the channel @param arrayNs in the die's array
   */
  begin(kind: number, die: number, transferNs: number, arrayNs: number, owner: number, amount: number): number {
    const op = this.take();
    const { words } = this;
    const at = op << SHIFT;
    words[at + KIND] = kind;
    words[at + DIE] = die;
    words[at + TRANSFER_NS] = transferNs;
    words[at + ARRAY_NS] = arrayNs;
    words[at + OWNER] = owner;
    words[at + AMOUNT] = amount;
    words[at + STATE] = WAITING;
    if (kind >= HOST_PROGRAM && kind !== ERASE) this.load(op, die);
    else this.toDie(op, die);
    return op;
  }

  kindOf(op: number): number {
    return this.words[(op << SHIFT) + KIND];
  }

  dieOf(op: number): number {
    return this.words[(op << SHIFT) + DIE];
  }

  ownerOf(op: number): number {
    return this.words[(op << SHIFT) + OWNER];
  }

  amountOf(op: number): number {
    return this.words[(op << SHIFT) + AMOUNT];
  }

  /** Of a program: the line it belongs to, and its epoch in the write buffer. */
  setShot(op: number, line: number, epoch: number): void {
    this.words[(op << SHIFT) + LINE] = line;
    this.words[(op << SHIFT) + EPOCH] = epoch;
  }

  lineOf(op: number): number {
    return this.words[(op << SHIFT) + LINE];
  }

  epochOf(op: number): number {
    return this.words[(op << SHIFT) + EPOCH];
  }

  /** Ends every operation that is under way or waits, one by one, at once; all dies are idle then. */
  drop(): void {
    this.running.fill(NONE);
    this.cached.fill(NONE);
    this.loading.fill(NONE);
    this.sending.fill(NONE);
    for (const list of [this.dieFirst, this.loadFirst, this.channelFirst]) list.fill(NONE);
    const isFree = new Uint8Array(this.made);
    for (let op = this.free; op >= 0; op = this.words[(op << SHIFT) + NEXT]) isFree[op] = 1;
    const { made } = this;
    for (let op = 0; op < made; op++) {
      const state = this.words[(op << SHIFT) + STATE];
      if (isFree[op] !== 0 || state === DROPPED) continue;
      this.ended(op);
      if (state === IN_ARRAY || state === ON_CHANNEL) this.words[(op << SHIFT) + STATE] = DROPPED;
      else this.give(op);
    }
  }

  /** An event of an operation. */
  private stage(op: number): void {
    const { words } = this;
    const at = op << SHIFT;
    const state = words[at + STATE];
    const die = words[at + DIE];
    const isRead = words[at + KIND] <= GC_READ;
    if (state === DROPPED) {
      this.give(op);
    } else if (state === IN_ARRAY) {
      if (isRead) {
        this.readOut(op, die);
      } else {
        this.nextOfDie(die);
        this.end(op);
      }
    } else {
      this.nextOfChannel(die % this.channels);
      if (isRead) this.endRead(op, die);
      else this.toDie(op, die);
    }
  }

  /** The array has read: on to the channel, and with a cache register the die reads on. */
  private readOut(op: number, die: number): void {
    if (this.cacheReads) {
      if (this.cached[die] !== NONE) {
        this.words[(op << SHIFT) + STATE] = READ_OUT;
        return;
      }
      this.cached[die] = op;
      this.nextOfDie(die);
    }
    this.toChannel(op, die);
  }

  /** The data of a read have left the die. */
  private endRead(op: number, die: number): void {
    if (!this.cacheReads) {
      this.nextOfDie(die);
    } else {
      this.cached[die] = NONE;
      const waiting = this.running[die];
      if (waiting !== NONE && this.words[(waiting << SHIFT) + STATE] === READ_OUT) this.readOut(waiting, die);
    }
    this.end(op);
  }

  private end(op: number): void {
    this.ended(op);
    this.give(op);
  }

  /** A program asks for the data register of its die. */
  private load(op: number, die: number): void {
    const { words, loadFirst, loadLast } = this;
    if (this.loading[die] === NONE) {
      this.loading[die] = op;
      this.toChannel(op, die);
      return;
    }
    words[(op << SHIFT) + NEXT] = NONE;
    if (loadFirst[die] === NONE) loadFirst[die] = op;
    else words[(loadLast[die] << SHIFT) + NEXT] = op;
    loadLast[die] = op;
  }

  private toChannel(op: number, die: number): void {
    const { words, channelFirst, channelLast } = this;
    const channel = die % this.channels;
    if (this.sending[channel] === NONE) {
      this.send(op, channel);
      return;
    }
    words[(op << SHIFT) + STATE] = WAITING;
    words[(op << SHIFT) + NEXT] = NONE;
    if (channelFirst[channel] === NONE) channelFirst[channel] = op;
    else words[(channelLast[channel] << SHIFT) + NEXT] = op;
    channelLast[channel] = op;
  }

  private send(op: number, channel: number): void {
    const at = op << SHIFT;
    this.sending[channel] = op;
    this.words[at + STATE] = ON_CHANNEL;
    this.time.schedule(this.words[at + TRANSFER_NS], this.stageHandler, op);
  }

  private nextOfChannel(channel: number): void {
    const op = this.channelFirst[channel];
    this.sending[channel] = NONE;
    if (op === NONE) return;
    this.channelFirst[channel] = this.words[(op << SHIFT) + NEXT];
    this.send(op, channel);
  }

  private toDie(op: number, die: number): void {
    const { words, dieFirst, dieLast } = this;
    if (this.running[die] === NONE) {
      this.run(op, die);
      return;
    }
    words[(op << SHIFT) + STATE] = WAITING;
    words[(op << SHIFT) + NEXT] = NONE;
    if (dieFirst[die] === NONE) dieFirst[die] = op;
    else words[(dieLast[die] << SHIFT) + NEXT] = op;
    dieLast[die] = op;
  }

  private run(op: number, die: number): void {
    const { words } = this;
    const at = op << SHIFT;
    this.running[die] = op;
    words[at + STATE] = IN_ARRAY;
    this.time.schedule(words[at + ARRAY_NS], this.stageHandler, op);
    if (this.loading[die] === op) this.nextLoad(die);
  }

  private nextOfDie(die: number): void {
    const op = this.dieFirst[die];
    this.running[die] = NONE;
    if (op === NONE) return;
    this.dieFirst[die] = this.words[(op << SHIFT) + NEXT];
    this.run(op, die);
  }

  /** The data register is free again. */
  private nextLoad(die: number): void {
    const op = this.loadFirst[die];
    this.loading[die] = op;
    if (op === NONE) return;
    this.loadFirst[die] = this.words[(op << SHIFT) + NEXT];
    this.toChannel(op, die);
  }

  private take(): number {
    const op = this.free;
    if (op !== NONE) {
      this.free = this.words[(op << SHIFT) + NEXT];
      return op;
    }
    if (this.made << SHIFT === this.words.length) {
      const words = new Int32Array(2 * this.words.length);
      words.set(this.words);
      this.words = words;
    }
    return this.made++;
  }

  private give(op: number): void {
    this.words[(op << SHIFT) + NEXT] = this.free;
    this.free = op;
  }
}
