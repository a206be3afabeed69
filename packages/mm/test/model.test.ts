/**
 * Random operations of two processes against a plain model: what a process wrote is what it reads, and a pin keeps the
 * page and its content, whatever happens to the address space.
 */
import { World } from '@pincushion/sim';
import type { ChoiceStream } from '@pincushion/sim';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  MADV_HUGEPAGE,
  MAP_FIXED,
  Memory,
  PAGE_SIZE,
  PROT_READ,
  frameOf,
  newGottenPages,
  newPinnedPages,
} from '../src/index';
import type { Mm } from '../src/index';
import { ANON, MIB, RW, assertMemorySane, frameAt, plain } from './machine-memory';

const BASE = 0x4000_0000;
const PAGES = 1600;

/** One process in the model: by page, undefined (not mapped) or what is in it. */
interface ModelPage {
  byte: number;
  writable: boolean;
}

class Model {
  readonly pages = new Map<number, ModelPage>();
  readonly mm: Mm;

  constructor(
    readonly memory: Memory,
    name: string,
    private readonly choose: ChoiceStream,
  ) {
    this.mm = memory.createMm(name);
  }

  step(held: Held[]): void {
    const page = this.choose.below(PAGES);
    const count = 1 + this.choose.below(this.choose.below(4) === 0 ? 600 : 12);
    const end = Math.min(PAGES, page + count);
    const address = BASE + page * PAGE_SIZE;
    const bytes = (end - page) * PAGE_SIZE;
    switch (this.choose.below(9)) {
      case 0: {
        const writable = this.choose.below(4) > 0;
        plain(this.mm.mmap(bytes, writable ? RW : PROT_READ, ANON | MAP_FIXED, address));
        if (this.choose.below(2) === 0) plain(this.mm.madvise(address, bytes, MADV_HUGEPAGE));
        for (let i = page; i < end; i++) this.pages.set(i, { byte: 0, writable });
        return;
      }
      case 1:
        plain(this.mm.munmap(address, bytes));
        for (let i = page; i < end; i++) this.pages.delete(i);
        return;
      case 2: {
        if ([...this.range(page, end)].some((entry) => entry === undefined)) return;
        const writable = this.choose.below(2) === 0;
        plain(this.mm.mprotect(address, bytes, writable ? RW : PROT_READ));
        for (const entry of this.range(page, end)) if (entry !== undefined) entry.writable = writable;
        return;
      }
      case 3:
        plain(this.mm.madvise(address, bytes, 4));
        for (const entry of this.range(page, end)) if (entry !== undefined) entry.byte = 0;
        return;
      case 4:
      case 5:
        for (let i = page; i < Math.min(end, page + 20); i++) this.write(i);
        return;
      case 6:
        for (let i = page; i < Math.min(end, page + 20); i++) this.expectContent(i);
        return;
      case 7:
        held.push(...this.grab(page, end, this.choose.below(2) === 0));
        return;
      default:
        if (held.length > 0) held.splice(this.choose.below(held.length), 1)[0].release();
    }
  }

  private *range(from: number, end: number): Iterable<ModelPage | undefined> {
    for (let i = from; i < end; i++) yield this.pages.get(i);
  }

  private write(page: number): void {
    const entry = this.pages.get(page);
    const byte = 1 + this.choose.below(255);
    const result = plain(this.mm.write(BASE + page * PAGE_SIZE + 7, Uint8Array.of(byte)));
    expect(result).toBe(entry?.writable === true ? 1 : -14);
    if (result === 1 && entry !== undefined) entry.byte = byte;
  }

  expectContent(page: number): void {
    const into = new Uint8Array(1);
    const entry = this.pages.get(page);
    expect(plain(this.mm.read(BASE + page * PAGE_SIZE + 7, into))).toBe(entry === undefined ? -14 : 1);
    if (entry !== undefined) expect(into[0]).toBe(entry.byte);
  }

  private grab(page: number, end: number, isPin: boolean): Held[] {
    const write = this.choose.below(2) === 0;
    const longterm = isPin && this.choose.below(2) === 0;
    let want = page;
    while (want < end) {
      const entry = this.pages.get(want);
      if (entry === undefined || (write && !entry.writable)) break;
      want++;
    }
    const flags = (write ? FOLL_WRITE : 0) | (longterm ? FOLL_LONGTERM : 0);
    const { gup, bytes } = this.memory;
    const address = BASE + page * PAGE_SIZE;
    const pins = newPinnedPages(end - page);
    const gets = newGottenPages(end - page);
    const got = plain(
      isPin
        ? gup.pinUserPagesFast(this.mm, address, end - page, flags, pins, 0, 1)
        : gup.getUserPagesFast(this.mm, address, end - page, flags, gets, 0, 1),
    );
    expect(got).toBe(want === page ? -14 : want - page);
    if (got <= 0) return [];
    const taken = isPin ? pins : gets;
    const seen = new Uint8Array(1);
    for (let i = 0; i < got; i++) {
      expect(frameOf(taken[i])).toBe(frameAt(this.mm, address + i * PAGE_SIZE));
      bytes.read(frameOf(taken[i]), 7, seen, 0, 1);
      expect(seen[0]).toBe(this.pages.get(page + i)?.byte);
    }
    const release = () => {
      if (isPin) gup.unpinUserPages(pins, 0, got);
      else gup.putPages(gets, 0, got);
    };
    return [{ release }];
  }
}

interface Held {
  release(): void;
}

describe('random operations of two processes', () => {
  it.each([1, 2, 3, 4, 5, 6])('agree with a model, and everything is given back at the end (seed %i)', (seed) => {
    const world = new World({ seed });
    const memory = new Memory(world, { ramBytes: 64 * MIB, ledger: 'full' });
    const free = memory.framesFree;
    const choose = world.choices.stream('model');
    const models = [new Model(memory, 'a', choose), new Model(memory, 'b', choose)];
    const held: Held[] = [];
    for (let i = 0; i < 500; i++) {
      models[choose.below(2)].step(held);
      if (i % 50 === 49) assertMemorySane(memory);
    }
    for (const model of models) for (let page = 0; page < PAGES; page += 3) model.expectContent(page);
    for (const model of models) plain(model.mm.exit());
    for (const one of held) one.release();
    memory.hugeZero.shrink();
    assertMemorySane(memory);
    expect(memory.framesFree).toBe(free);
    expect(memory.vmstat.nrFollPinAcquired).toBe(memory.vmstat.nrFollPinReleased);
    expect(world.findings.all).toEqual([]);
  });
});
