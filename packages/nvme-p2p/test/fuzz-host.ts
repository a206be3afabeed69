/**
 * A host that sends a controller commands and register writes at random, and keeps account of every command.
 *
 *   batch      some commands into the rings, doorbells, then the controller is left alone until it is idle
 *   account    what completes must be inside; after a batch only asynchronous event requests may still be inside
 *   wild       what a driver never does: registers, doorbells and queues at random. Until the next reset, only survival counts
 *
 * A command that the controller drops is accounted for by what dropped it: a reset, or a fatal status.
 */
import type { World } from '@pincushion/sim';
import { REG_ACQ, REG_AQA, REG_ASQ, REG_CC, REG_CMBMSC, REG_CSTS, REG_DOORBELLS } from '../src/spec/registers';
import type { BusController } from './bare-bus';
import { busBed } from './bare-bus';

const DEPTH = 32;
const QUEUES = 3;
const RING_BYTES = 4096;
const RAM_BYTES = 1 << 20;
const RINGS_END = 2 * QUEUES * RING_BYTES;
const CC = 0x460001;
const READY = 1;
/** Where the controller's own memory is for commands, when it is open; its bytes; what opens it. */
const CMB_BASE = 0x4000_0000;
const CMB_BYTES = 65_536;
const CMB_OPEN = 3;
const ABORT = 0x08;
/** Dword 0: the data pointer is a scatter gather list. */
const SGL = 1 << 14;
const EVENTS_MAX = 100_000;
const ASYNC_EVENT = 0x0c;
const SHADOWS = 0x7c;
/** Admin commands after which queues are not what this host takes them for. */
const QUEUE_OPCODES: readonly number[] = [0x00, 0x01, 0x04, 0x05];
const ADMIN = [0x00, 0x01, 0x02, 0x02, 0x04, 0x05, 0x06, 0x06, 0x08, 0x09, 0x09, 0x0a, 0x0a, 0x0c, 0x15, 0x7c, 0x80];
const IO = [0x00, 0x01, 0x01, 0x02, 0x02, 0x04, 0x05, 0x08, 0x09, 0x0c, 0x19];

export interface FuzzResult {
  readonly commands: number;
  readonly completions: number;
  readonly failures: number;
  readonly resets: number;
  readonly refused: number;
  readonly registerWrites: number;
}

export class FuzzHost {
  readonly controller: BusController;
  private readonly world: World;
  private state: number;
  private readonly tails = new Int32Array(QUEUES);
  private readonly heads = new Int32Array(QUEUES);
  private readonly phases = new Int32Array(QUEUES);
  /** By queue and command identifier: opcode + 1 of a command inside; 0: none. */
  private readonly inside = Array.from({ length: QUEUES }, () => new Int32Array(0x10000));
  /** Identifiers used since the last reset. */
  private readonly entered = Array.from({ length: QUEUES }, (): number[] => []);
  private readonly cids = new Int32Array(QUEUES);
  /** Commands inside that must complete: all but asynchronous event requests. */
  private owed = 0;
  private wild = false;
  private commands = 0;
  private completions = 0;
  private failures = 0;
  private resets = 0;
  private registerWrites = 0;

  constructor(seed: number) {
    const model = {
      namespaces: [{ capacity: '1MiB' }, { capacity: '4MiB', blockBytes: 4096 }, { capacity: '1MiB', attached: false }],
      queuePairs: 4,
      queueEntries: 64,
      mdts: 3,
      cmb: CMB_BYTES,
      shadowDoorbells: true,
      latency: { jitterNs: 0 },
    };
    const bed = busBed(model, { ramBytes: RAM_BYTES, ringsEnd: RINGS_END, memoryBars: [CMB_BYTES] });
    this.world = bed.world;
    this.controller = bed.controller;
    this.state = Math.imul(seed, 0x9e3779b1) | 1;
    this.enable();
  }

  /** Throws when the controller throws, hangs, completes what is not inside, or forgets a command. */
  run(commands: number): FuzzResult {
    while (this.commands < commands) this.batch();
    const { completions, failures, resets, registerWrites } = this;
    return { commands: this.commands, completions, failures, resets, registerWrites, refused: this.controller.refused };
  }

  private batch(): void {
    const n = 1 + this.below(12);
    for (let i = 0; i < n; i++) this.push(this.below(4) === 0 ? 0 : 1 + this.below(QUEUES - 1));
    for (let queue = 0; queue < QUEUES; queue++) this.write(REG_DOORBELLS + 8 * queue, this.tails[queue]);
    if (this.below(8) === 0) this.disturb();
    this.settle();
    if (!this.wild) this.collect();
    const isDown = (this.controller.mmioRead(0, REG_CSTS, 4) & READY) === 0;
    if (this.wild || isDown || this.below(400) === 0) this.reset();
  }

  /** What no driver does. */
  private disturb(): void {
    this.wild = true;
    const n = 1 + this.below(4);
    for (let i = 0; i < n; i++) {
      const offset = this.below(3) === 0 ? REG_DOORBELLS + this.below(64) : this.below(0xf00);
      const width = [1, 2, 4, 8][this.below(4)] as 1 | 2 | 4 | 8;
      this.controller.mmioRead(0, offset, width);
      this.registerWrites++;
      this.controller.mmioWrite(0, offset, this.below(3) === 0 ? this.below(64) : this.next() >>> 0, width);
    }
  }

  private push(queue: number): void {
    const next = (this.tails[queue] + 1) % DEPTH;
    const { words } = this.controller;
    const cid = this.freeIdentifier(queue);
    const opcode = this.opcodeFor(queue);
    const at = (2 * queue * RING_BYTES) / 4 + 16 * this.tails[queue];
    words[at] = opcode | (this.below(24) === 0 ? this.below(256) << 8 : 0) | (cid << 16);
    words[at + 1] = [0, 1, 1, 1, 2, 2, 3, 9, -1, this.next()][this.below(10)];
    for (let i = 2; i < 6; i++) words[at + i] = this.below(16) === 0 ? this.next() : 0;
    this.address(at + 6);
    this.address(at + 8);
    for (let i = 10; i < 16; i++) words[at + i] = this.argument();
    if (queue === 0 && opcode === ABORT) {
      const other = this.below(QUEUES);
      words[at + 10] = other | ((this.cids[other] - this.below(4)) << 16);
    }
    if (queue !== 0 && this.below(4) !== 0) {
      words[at + 10] = this.below(2_048);
      words[at + 11] = 0;
      words[at + 12] = this.below(24);
    }
    if (queue !== 0 && this.below(4) === 0) this.useSgl(at);
    this.enter(queue, cid, opcode);
    this.tails[queue] = next;
    this.commands++;
    if (queue === 0 && (QUEUE_OPCODES.includes(opcode) || opcode === SHADOWS)) this.wild ||= this.below(2) === 0;
    if (queue === 0 && !this.wild && (QUEUE_OPCODES.includes(opcode) || opcode === SHADOWS)) words[at + 10] = 0;
    if (queue === 0 && !this.wild && opcode === SHADOWS) words[at + 6] |= 4;
  }

  private opcodeFor(queue: number): number {
    const known = queue === 0 ? ADMIN : IO;
    return this.below(12) === 0 ? this.below(256) : known[this.below(known.length)];
  }

  private freeIdentifier(queue: number): number {
    do this.cids[queue] = (this.cids[queue] + 1) & 0xffff;
    while (this.inside[queue][this.cids[queue]] !== 0);
    return this.cids[queue];
  }

  /** Mostly in memory, sometimes aligned, sometimes nowhere. */
  private address(at: number): void {
    const { words } = this.controller;
    const kind = this.below(16);
    words[at] = this.below(RAM_BYTES) & (kind < 12 ? ~0xfff : ~3);
    words[at + 1] = kind === 15 ? this.next() : 0;
    if (kind === 14) words[at] = this.next();
    if (kind === 13) words[at] = CMB_BASE + (this.below(CMB_BYTES + 8192) & ~3);
    if (kind === 12) words[at] = CMB_BASE + (this.below(CMB_BYTES) & ~0xfff);
  }

  /** A data block, or a segment of up to four of them; mostly as long as the command moves. */
  private useSgl(at: number): void {
    const { words } = this.controller;
    const bytes = this.below(8) === 0 ? this.below(0x10000) : ((words[at + 12] & 0xffff) + 1) * 512;
    const kind = this.below(4);
    words[at] |= SGL;
    words[at + 8] = bytes;
    words[at + 9] = 0;
    if (kind < 2) return;
    const parts = 1 + this.below(4);
    const list = (RINGS_END + this.below((RAM_BYTES - RINGS_END) / 64) * 64) / 4;
    for (let i = 0; i < parts && list + 4 * i + 4 < words.length; i++) {
      this.address(list + 4 * i);
      words[list + 4 * i + 2] = i === parts - 1 ? bytes - (parts - 1) * Math.floor(bytes / parts) : bytes / parts;
      words[list + 4 * i + 3] = this.below(16) === 0 ? this.next() : 0;
    }
    words[at + 6] = 4 * list;
    words[at + 7] = 0;
    words[at + 8] = parts * 16;
    words[at + 9] = kind << 28;
  }

  private argument(): number {
    switch (this.below(6)) {
      case 0:
        return 0;
      case 1:
        return this.next();
      case 2:
        return this.below(0x10000) << 16;
      default:
        return this.below(24);
    }
  }

  private settle(): void {
    if (this.world.run({ events: EVENTS_MAX }) === 'limit') throw new Error('the controller does not come to rest');
  }

  /** Takes all completions; in the end only event requests are inside. */
  private collect(): void {
    for (let again = true; again;) {
      again = false;
      for (let queue = 0; queue < QUEUES; queue++) if (this.collectFrom(queue)) again = true;
      if (again) this.settle();
    }
    if ((this.controller.mmioRead(0, REG_CSTS, 4) & READY) === 0) return;
    if (this.owed !== 0) throw new Error(`${this.owed} commands are lost: ${this.lost()}`);
  }

  private lost(): string {
    const names = this.inside.flatMap((commands, queue) =>
      [...commands].flatMap((opcode, cid) => (opcode === 0 ? [] : [`${cid} of queue ${queue}, opcode ${opcode - 1}`])),
    );
    return names.join('; ');
  }

  private enter(queue: number, cid: number, opcode: number): void {
    this.inside[queue][cid] = opcode + 1;
    this.entered[queue].push(cid);
    if (queue !== 0 || opcode !== ASYNC_EVENT) this.owed++;
  }

  private collectFrom(queue: number): boolean {
    const { words } = this.controller;
    const base = ((2 * queue + 1) * RING_BYTES) / 4;
    let found = false;
    for (;;) {
      const at = base + 4 * this.heads[queue];
      const last = words[at + 3];
      if (((last >>> 16) & 1) !== this.phases[queue]) break;
      const [owner, cid] = [words[at + 2] >>> 16, last & 0xffff];
      if (owner !== queue || this.inside[owner][cid] === 0) {
        throw new Error(`queue ${queue} has a completion for command ${cid} of queue ${owner}, which is not inside`);
      }
      if (queue !== 0 || this.inside[owner][cid] !== ASYNC_EVENT + 1) this.owed--;
      this.inside[owner][cid] = 0;
      this.completions++;
      if (last >>> 17 !== 0) this.failures++;
      this.heads[queue]++;
      if (this.heads[queue] === DEPTH) {
        this.heads[queue] = 0;
        this.phases[queue] ^= 1;
      }
      found = true;
    }
    if (found) this.write(REG_DOORBELLS + 8 * queue + 4, this.heads[queue]);
    return found;
  }

  private reset(): void {
    this.resets++;
    if (this.below(20) === 0) this.controller.reset();
    this.write(REG_CC, CC & ~1);
    this.settle();
    this.enable();
  }

  /** Enabled, with two queue pairs, every ring empty. */
  private enable(): void {
    const { controller } = this;
    this.wild = false;
    this.owed = 0;
    for (let queue = 0; queue < QUEUES; queue++) {
      this.tails[queue] = this.heads[queue] = 0;
      this.phases[queue] = 1;
      for (const cid of this.entered[queue]) this.inside[queue][cid] = 0;
      this.entered[queue].length = 0;
    }
    controller.words.fill(0, 0, RINGS_END / 4);
    this.write(REG_CC, 0);
    // A reset leaves the controller's own memory where it is, which may be over the rings.
    this.write(REG_CMBMSC + 4, 0);
    this.write(REG_CMBMSC, this.below(2) === 0 ? 0 : CMB_BASE + CMB_OPEN);
    this.write(REG_AQA, ((DEPTH - 1) << 16) | (DEPTH - 1));
    for (const [offset, base] of [
      [REG_ASQ, 0],
      [REG_ACQ, RING_BYTES],
    ]) {
      this.write(offset, base);
      this.write(offset + 4, 0);
    }
    this.write(REG_CC, CC);
    for (let queue = 1; queue < QUEUES; queue++) {
      const size = ((DEPTH - 1) << 16) | queue;
      this.create(0x05, (2 * queue + 1) * RING_BYTES, size, (queue << 16) | 3);
      this.create(0x01, 2 * queue * RING_BYTES, size, (queue << 16) | 1);
    }
    this.write(REG_DOORBELLS, this.tails[0]);
    this.settle();
    this.collect();
    if ((controller.mmioRead(0, REG_CSTS, 4) & READY) === 0) throw new Error('the controller does not become ready');
  }

  private create(opcode: number, base: number, dword10: number, dword11: number): void {
    const { words } = this.controller;
    const at = 16 * this.tails[0];
    const cid = this.freeIdentifier(0);
    words[at] = opcode | (cid << 16);
    words[at + 6] = base;
    words[at + 10] = dword10;
    words[at + 11] = dword11;
    this.enter(0, cid, opcode);
    this.tails[0]++;
  }

  private write(offset: number, value: number): void {
    this.controller.mmioWrite(0, offset, value, 4);
  }

  private below(n: number): number {
    return Math.floor(((this.next() >>> 0) / 0x1_0000_0000) * n);
  }

  /** xorshift, 32 bits. */
  private next(): number {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state;
    return state;
  }
}
