/**
 * Writing dirty pages of a file to its store.
 *
 * For each dirty folio in the range, lowest index first: wait for a write of it that is on its way, make it clean and
 * write-protect it (`folioClearDirtyForIo`), hand it to the file system with `PG_writeback` set. Linux does not look at pins
 * (W-02): what a device writes meanwhile may or may not reach the store, and what it writes afterwards does not, until
 * somebody marks the folio dirty again. A machine may have another policy (writeback-settings.ts, writeback-held.ts);
 * pins are looked at after the folio is write-protected, so that no new one goes unnoticed (W-05).
 * An error is kept for those who have the file open (errseq.ts).
 * Left out: several pages in one request of the store, cgroups. Background writeback is in flusher.ts.
 * Source followed: mm/page-writeback.c `writeback_iter`, `folio_wait_writeback`, mm/filemap.c (6.18).
 */
import { ENOMEM } from '@pincushion/sim';
import type { MaySleep, Thread } from '@pincushion/sim';
import type { AddressSpace } from './address-space';
import { eagerly, settled } from '../eager-task';
import { PG_readahead, PG_writeback } from '../frames/frames';
import { Gfp } from '../frames/zone';
import { Mechanism } from '../mechanism';
import { filemapDirtyFolio, findFolio, folioClearDirtyForIo, folioMarkDirty, folioWaitBit } from './page-cache';
import { PAGE_SIZE } from '../frames/page-size';
import { actionFor, folioHeldBy, isGivenBack, waitForHolders } from './writeback-held';

/** Pages of one call that may be on their way at a time. */
const PAGES_AT_ONCE = 64;

/** Waits until no write of the folio is on its way. Also what stable pages wait for (W-08). 0. `folio_wait_writeback`. */
export function folioWaitWriteback(mapping: AddressSpace, head: number): MaySleep {
  return folioWaitBit(mapping, head, PG_writeback);
}

/** Waits until nothing of pages [start, end) is being written, now. 0. `filemap_fdatawait_range`. May sleep. */
export function waitWriteback(mapping: AddressSpace, start: number, end: number): MaySleep {
  return eagerly(mapping.memory.world, 'writeback', waitForPages(mapping, start, end));
}

function* waitForPages(mapping: AddressSpace, start: number, end: number) {
  for (let head = onItsWay(mapping, start, end); head !== 0; head = onItsWay(mapping, start, end)) {
    yield* settled(folioWaitWriteback(mapping, head));
  }
  return 0;
}

/** A folio of pages [start, end) that is being written; 0: none. Those that left the file meanwhile are nobody's. */
function onItsWay(mapping: AddressSpace, start: number, end: number): number {
  for (const [head, index] of mapping.underWriteback) {
    if (index >= start && index < end && findFolio(mapping, index) === head) return head;
  }
  return 0;
}

/** Whether anything of pages [start, end) is being written. Any context. */
export function isUnderWriteback(mapping: AddressSpace, start: number, end: number): boolean {
  return onItsWay(mapping, start, end) !== 0;
}

/**
 * Writes what is dirty in pages [start, end) and waits for it (`filemap_write_and_wait_range`). 0, or the first error of
 * the store; the folios concerned are clean all the same, as in the kernel. Under the policy `wait` it also waits for
 * devices to give pages back. Task context, may sleep.
 */
export function writeAndWaitRange(mapping: AddressSpace, start = 0, end = Infinity): MaySleep {
  mapping.memory.world.contexts.mightSleep('writeback');
  if (!mapping.canWriteback || (mapping.dirty.size === 0 && mapping.underWriteback.size === 0)) return 0;
  return eagerly(mapping.memory.world, 'writeback', writeAndWait(mapping, start, end));
}

/** An error of one folio does not keep the others from being written. */
function* writeAndWait(mapping: AddressSpace, start: number, end: number) {
  const flight = new Flight(mapping);
  for (const index of dirtyIndices(mapping, start, end)) {
    const head = yield* settled(readyPage(mapping, index, true));
    if (head !== 0) yield* flight.take(startPage(mapping, head, index));
  }
  yield* flight.land(0);
  yield* settled(waitWriteback(mapping, start, end));
  return flight.error;
}

/** Pages of one call on their way to the store. Each has a thread of its own while the store is waited for. */
class Flight {
  /** The first error. */
  error = 0;
  private readonly threads: Thread<number>[] = [];

  constructor(private readonly mapping: AddressSpace) {}

  /** One more page, whose writing has begun; waits when too many are on their way. */
  *take(writing: MaySleep) {
    if (typeof writing === 'number') {
      this.note(writing);
      return;
    }
    const { memory, name } = this.mapping;
    this.threads.push(
      memory.world.spawn(writing, { name: `a page of ${name} on its way`, cpu: memory.world.contexts.cpu }),
    );
    yield* this.land(PAGES_AT_ONCE - 1);
  }

  /** Waits until at most so many are on their way. */
  *land(most: number) {
    while (this.threads.length > most) {
      const thread = this.threads.shift();
      if (thread !== undefined) this.note(yield* thread.join());
    }
  }

  private note(result: number): void {
    if (this.error === 0 && result < 0) this.error = result;
  }
}

/** What a pass of background writeback did. */
export interface BackgroundPass {
  /** Pages given to the store. */
  written: number;
  /** Pages that are still dirty because somebody holds them: left for later, or written as copies. */
  held: number;
}

/**
 * Writes up to `most` dirty pages of the file without waiting for those on their way or held (WB_SYNC_NONE); what it did is
 * added to `pass`. 0, or the first error. Task context, may sleep. `do_writepages`.
 */
export function writeInBackground(mapping: AddressSpace, most: number, pass: BackgroundPass): MaySleep {
  return eagerly(mapping.memory.world, 'writeback', writeSome(mapping, most, pass));
}

function* writeSome(mapping: AddressSpace, most: number, pass: BackgroundPass) {
  const { memory } = mapping;
  const flight = new Flight(mapping);
  for (const index of dirtyIndices(mapping, 0, Infinity)) {
    if (pass.written >= most) break;
    const head = yield* settled(readyPage(mapping, index, false));
    if (head !== 0) {
      const before = memory.writeback.counts.written;
      const writing = startPage(mapping, head, index);
      pass.written += memory.writeback.counts.written - before;
      yield* flight.take(writing);
    }
    if (mapping.dirty.has(index) && folioHeldBy(memory, findFolio(mapping, index)) !== 'nobody') pass.held++;
  }
  yield* flight.land(0);
  return flight.error;
}

function dirtyIndices(mapping: AddressSpace, start: number, end: number): number[] {
  return [...mapping.dirty].filter((index) => index >= start && index < end).sort((a, b) => a - b);
}

/**
 * The folio of a page that has to be written now: it is clean, write-protected, and may be given to the store (`startPage`).
 * 0: there is nothing to write, or it is left for later. `isIntegrity`: somebody will rely on it (WB_SYNC_ALL), so what is on
 * its way or held is waited for as the policy says.
 */
function readyPage(mapping: AddressSpace, index: number, isIntegrity: boolean): MaySleep {
  return eagerly(mapping.memory.world, 'writeback', ready(mapping, index, isIntegrity));
}

function* ready(mapping: AddressSpace, index: number, isIntegrity: boolean) {
  const { memory } = mapping;
  const { counts } = memory.writeback;
  for (;;) {
    const head = findFolio(mapping, index);
    if (head === 0) return 0;
    if ((memory.frames.flags[head] & PG_writeback) !== 0) {
      if (!isIntegrity) return 0;
      yield* settled(folioWaitWriteback(mapping, head));
    }
    if (findFolio(mapping, index) !== head || !folioClearDirtyForIo(memory, head)) return 0;
    const action = actionFor(memory, folioHeldBy(memory, head), isIntegrity);
    if (action === 'write' || action === 'bounce') return head;
    folioMarkDirty(memory, head); // `folio_redirty_for_writepage`
    if (action === 'defer') {
      counts.deferred++;
      return 0;
    }
    const what = waitForHolders(mapping, index, head);
    const waitedNs = yield* memory.writeback.waitForRelease(what, () => isGivenBack(mapping, index, head));
    counts.waits++;
    counts.waitedNs += waitedNs;
    counts.waitedNsMax = Math.max(counts.waitedNsMax, waitedNs);
  }
}

/** Gives the store a folio of `readyPage`, or a copy of it; nothing may happen in between. 0 or -errno. */
function startPage(mapping: AddressSpace, head: number, index: number): MaySleep {
  const { memory } = mapping;
  const held = folioHeldBy(memory, head);
  if (actionFor(memory, held, true) === 'bounce') return writeCopy(mapping, head, index);
  if (held !== 'nobody') memory.writeback.counts.writtenPinned++;
  return writeFolio(mapping, head, index, head);
}

/** Writes one folio that was made clean for it, with the content of frame `data`. The reference keeps it alive meanwhile. */
function writeFolio(mapping: AddressSpace, head: number, index: number, data: number): MaySleep {
  const { frames, mechanisms, writeback } = mapping.memory;
  if (mechanisms.on) mechanisms.emit(Mechanism.cleaned, head, 0, 0);
  frames.get(head, 1);
  frames.flags[head] |= PG_writeback;
  mapping.underWriteback.set(head, index);
  writeback.writebackPages++;
  writeback.counts.written++;
  const written = mapping.ops.writepage?.(mapping, head, index, data) ?? 0;
  if (typeof written === 'number') return endWriteback(mapping, head, written);
  return eagerly(mapping.memory.world, 'writeback', writeSleeping(mapping, head, written));
}

function* writeSleeping(mapping: AddressSpace, head: number, pending: MaySleep) {
  return endWriteback(mapping, head, yield* settled(pending));
}

/**
 * The policy `bounce`: a copy of the page as it is now goes to the store, which no device can change any more. The page stays
 * dirty and keeps its buffers, since what the device writes later has to be written, too. -ENOMEM: there is no page for the
 * copy; the page is as dirty as before.
 */
function writeCopy(mapping: AddressSpace, head: number, index: number): MaySleep {
  const { memory } = mapping;
  const copy = memory.allocFolio(0, Gfp.kernel);
  if (copy < 0) {
    folioMarkDirty(memory, head);
    return -ENOMEM;
  }
  memory.writeback.counts.bounced++;
  memory.bytes.copy(copy, 0, head, 0, PAGE_SIZE);
  filemapDirtyFolio(mapping, head);
  return eagerly(memory.world, 'writeback', copyWritten(mapping, head, index, copy));
}

function* copyWritten(mapping: AddressSpace, head: number, index: number, copy: number) {
  const { memory } = mapping;
  const result = yield* settled(writeFolio(mapping, head, index, copy));
  memory.frames.put(copy, 1);
  // Its buffers were written, but not with what the page has now.
  if (findFolio(mapping, index) === head) folioMarkDirty(memory, head);
  return result;
}

/** `folio_end_writeback`, and `mapping_set_error` for what failed. */
function endWriteback(mapping: AddressSpace, head: number, result: number): number {
  const { frames, writeback } = mapping.memory;
  if (result < 0) mapping.wbErr.set(result);
  frames.flags[head] &= ~(PG_writeback | PG_readahead);
  mapping.underWriteback.delete(head);
  writeback.writebackPages--;
  mapping.folioWaiters.wakeAll();
  writeback.progressed();
  frames.put(head, 1);
  return result;
}
