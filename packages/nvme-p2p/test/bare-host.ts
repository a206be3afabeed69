/**
 * A host without a driver: it owns the controller's slot, and a test drives the controller through it as a driver would,
 * with register writes and entries in shared memory.
 */
import type { ManagedCoherent, Task } from '@pincushion/driver';
import { DmaMapper, Driver, HostFile, HostFiles, Interrupts, Registers, driver } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { z } from 'zod';
import { NvmeController } from '../src/index';
import { CSTS_RDY, REG_ACQ, REG_AQA, REG_ASQ, REG_CC, REG_CSTS, REG_DOORBELLS } from '../src/spec/registers';

const MATCH = [{ vendor: 0x1b36, device: 0x0010 }];

@driver({
  name: 'bare-host',
  api: 1,
  match: MATCH,
  config: z.strictObject({}),
  deps: [Registers, DmaMapper, Interrupts],
})
export class BareHost extends Driver {
  /** Interrupts by vector. */
  readonly interrupts = [0, 0, 0, 0, 0];

  constructor(
    readonly registers: Registers,
    readonly dma: DmaMapper,
    private readonly lines: Interrupts,
  ) {
    super();
  }

  override *probe(): Task {
    for (let vector = 0; vector < this.interrupts.length; vector++) {
      const handler = (): undefined => {
        this.interrupts[vector]++;
      };
      this.own(this.lines.request(vector, `vector ${vector}`, handler));
    }
  }

  override *remove(): Task {
    this.registers.write32(REG_CC, 0);
  }

  /** Shared memory until the end of the test. */
  memory(bytes: number): ManagedCoherent {
    const memory = this.dma.coherent(bytes, 'test memory');
    if (memory === null) throw new Error('no memory');
    return this.own(memory);
  }
}

/** A command; what is left out is 0. */
export interface Command {
  readonly opcode: number;
  readonly cid?: number;
  readonly flags?: number;
  readonly nsid?: number;
  readonly prp1?: number;
  readonly prp2?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw13?: number;
}

export interface Completion {
  readonly result: number;
  readonly sqhd: number;
  readonly sqid: number;
  readonly cid: number;
  readonly phase: number;
  /** Status code type / status code as `t/cc`, with `!` when it must not be retried. */
  readonly status: string;
}

interface Rings {
  readonly sq: ManagedCoherent;
  readonly cq: ManagedCoherent;
  readonly depth: number;
  tail: number;
  head: number;
  phase: number;
}

export function controllerBed(model: Record<string, unknown> = {}, hostFiles?: HostFiles) {
  const settings = {
    namespaces: [{ capacity: '8MiB' }, { capacity: '16MiB', blockBytes: 4096 }],
    queuePairs: 4,
    mdts: 5,
    ...model,
  };
  const bed = testDevice(BareHost, {
    hardware: NvmeController,
    model: settings,
    ...(hostFiles === undefined ? {} : { hostFiles }),
  });
  return Object.assign(bed, {
    host: new TestHost(bed.driver, (ns) => {
      bed.advance(ns);
    }),
  });
}

export class TestHost {
  readonly rings: Rings[] = [];
  private nextCid = 1;

  constructor(
    readonly driver: BareHost,
    readonly advance: (ns: number) => void,
  ) {}

  read32(offset: number): number {
    return this.driver.registers.read32(offset);
  }

  write32(offset: number, value: number): void {
    this.driver.registers.write32(offset, value);
  }

  memory(bytes: number): ManagedCoherent {
    return this.driver.memory(bytes);
  }

  /** Admin queues of `depth` entries, and CC.EN. Returns whether the controller is ready. */
  enable(depth = 32, cc = 0x460001): boolean {
    this.rings[0] = this.newRings(depth);
    this.write32(REG_AQA, ((depth - 1) << 16) | (depth - 1));
    this.driver.registers.write64lohi(REG_ASQ, this.rings[0].sq.iova);
    this.driver.registers.write64lohi(REG_ACQ, this.rings[0].cq.iova);
    this.write32(REG_CC, cc);
    return (this.read32(REG_CSTS) & CSTS_RDY) !== 0;
  }

  newRings(depth: number): Rings {
    return { sq: this.memory(depth * 64), cq: this.memory(depth * 16), depth, tail: 0, head: 0, phase: 1 };
  }

  /** Creates I/O queue pair `id` and returns the statuses of both commands. */
  createQueues(id: number, depth: number, vector = id): string[] {
    const rings = this.newRings(depth);
    this.rings[id] = rings;
    const cdw10 = ((depth - 1) << 16) | id;
    return [
      this.admin({ opcode: 5, prp1: rings.cq.iova, cdw10, cdw11: (vector << 16) | 3 }).status,
      this.admin({ opcode: 1, prp1: rings.sq.iova, cdw10, cdw11: (id << 16) | 1 }).status,
    ];
  }

  /** Enabled, with one I/O queue pair. */
  start(depth = 16): this {
    this.enable();
    this.createQueues(1, depth);
    return this;
  }

  admin(command: Command): Completion {
    return this.run(0, command);
  }

  io(command: Command): Completion {
    return this.run(1, command);
  }

  /** Read (2), Write (1) or Write Zeroes (8). */
  blocks(opcode: number, first: number, count: number, prp1 = 0, prp2 = 0, nsid = 1): string {
    return this.io({ opcode, nsid, prp1, prp2, cdw10: first, cdw12: count - 1 }).status;
  }

  /** One command from ring to acknowledged completion. */
  run(id: number, command: Command): Completion {
    this.push(id, command);
    this.ring(id);
    const completion = this.next(id);
    if (completion === null) throw new Error(`command 0x${command.opcode.toString(16)} has not completed`);
    this.acknowledge(id);
    return completion;
  }

  /** Puts a command into the ring, without the doorbell. Returns its identifier. */
  push(id: number, command: Command): number {
    const rings = this.rings[id];
    const { words } = rings.sq;
    const cid = command.cid ?? this.nextCid++;
    const at = rings.tail * 16;
    words.fill(0, at, at + 16);
    words[at] = command.opcode | ((command.flags ?? 0) << 8) | (cid << 16);
    words[at + 1] = (command.nsid ?? 0) | 0;
    address(words, at + 6, command.prp1 ?? 0);
    address(words, at + 8, command.prp2 ?? 0);
    words[at + 10] = (command.cdw10 ?? 0) | 0;
    words[at + 11] = (command.cdw11 ?? 0) | 0;
    words[at + 12] = (command.cdw12 ?? 0) | 0;
    words[at + 13] = (command.cdw13 ?? 0) | 0;
    rings.tail = (rings.tail + 1) % rings.depth;
    return cid;
  }

  ring(id: number): void {
    this.write32(REG_DOORBELLS + 8 * id, this.rings[id].tail);
  }

  /** The next completion, or null when none comes within 100 ms. */
  next(id: number): Completion | null {
    const rings = this.rings[id];
    const at = rings.head * 4;
    for (let waitedNs = 0; ((rings.cq.words[at + 3] >>> 16) & 1) !== rings.phase; waitedNs += 10_000) {
      if (waitedNs > 100_000_000) return null;
      this.advance(10_000);
    }
    const [result, , queue, last] = rings.cq.words.slice(at, at + 4);
    if (++rings.head === rings.depth) {
      rings.head = 0;
      rings.phase ^= 1;
    }
    const field = last >>> 17;
    return {
      result: result >>> 0,
      sqhd: queue & 0xffff,
      sqid: queue >>> 16,
      cid: last & 0xffff,
      phase: (last >>> 16) & 1,
      status: `${(field >>> 8) & 7}/${(field & 0xff).toString(16).padStart(2, '0')}${(field & 0x4000) === 0 ? '' : '!'}`,
    };
  }

  acknowledge(id: number): void {
    this.write32(REG_DOORBELLS + 8 * id + 4, this.rings[id].head);
  }

  /** Writes bus addresses as a PRP list. */
  list(memory: ManagedCoherent, at: number, ...entries: readonly number[]): void {
    entries.forEach((entry, i) => {
      address(memory.words, at / 4 + 2 * i, entry);
    });
  }
}

/** Byte i of pattern `seed`. */
export function pattern(seed: number, n: number): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => seed + 7 * i + 13 * (i >> 8));
}

/** Byte for byte; quicker than `toEqual` on large arrays. */
export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** A file of the host that is bytes in memory. */
export class MemoryFiles extends HostFiles {
  flushes = 0;
  closed = 0;
  failing = false;

  constructor(
    readonly content: Uint8Array,
    readonly writableFile = true,
  ) {
    super();
  }

  override open(path: string, options: { readonly writable?: boolean } = {}): HostFile {
    if (path !== 'disk.img' || (options.writable === true && !this.writableFile))
      throw new Error(`${path}: no such file`);
    const { content } = this;
    return {
      size: content.length,
      read: (offset, into) => {
        if (this.failing) throw new Error('input/output error');
        const part = content.subarray(offset, offset + into.length);
        into.set(part);
        return part.length;
      },
      write: (offset, from) => {
        if (options.writable !== true) throw new Error('not opened for writing');
        content.set(from, offset);
      },
      flush: () => {
        this.flushes++;
      },
      close: () => {
        this.closed++;
      },
    };
  }
}

function address(words: Int32Array, at: number, value: number): void {
  words[at] = value | 0;
  words[at + 1] = Math.floor(value / 0x1_0000_0000);
}
