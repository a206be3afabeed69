/**
 * Recovery: what was committed and not brought home before the machine stopped is brought home now.
 *
 * Three passes over the ring, as jbd2's: the first finds the last whole transaction, the second collects what was revoked,
 * the third writes the others home. The ring ends where a block is not what must come next: a torn write, an older round, or
 * a commit that never came; what lies behind does not count.
 * Source followed: fs/jbd2/recovery.c `jbd2_journal_recover`, `do_one_pass` (6.18).
 */
import { eagerly, settled } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { EUCLEAN } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { BlockStore } from '../block-store';
import { Magic, isSealed, sealBlock, setWord, wordAt } from '../disk-format/block-header';
import { crc32c, crc32cWord } from '../disk-format/crc32c';
import {
  JOURNAL_SUPERBLOCK_BYTES,
  commitSum,
  entriesOf,
  revokedAt,
  revokesPerBlock,
  tagHome,
  tagSum,
  tagsPerDescriptor,
  tidOf,
} from '../disk-format/journal-block';
import { STATE_BLOCK } from '../disk-format/superblock';
import type { Layout } from '../disk-format/superblock';

/** What is said of a ring that ends with a whole transaction, or has none. */
const EMPTY = 'nothing more';

/** A block of a transaction and where it belongs. */
interface Logged {
  readonly tid: number;
  readonly home: number;
  /** Place in the ring. */
  readonly place: number;
}

export class Recovery {
  /** Transactions that were brought home. */
  transactions = 0;
  /** Blocks that were written home, and those that a revoke kept from it. */
  replayed = 0;
  revoked = 0;
  /** Why the ring ended, in words. */
  ended = EMPTY;
  /** The transaction that comes next. */
  nextTid = 0;
  private readonly logged: Logged[] = [];
  /** The newest transaction that has revoked a block. */
  private readonly revokes = new Map<number, number>();
  private readonly head: Uint8Array;
  private readonly content: Uint8Array;

  /** Two frames to read into: one for the journal's own blocks, one for what they are about. */
  constructor(
    private readonly memory: Memory,
    private readonly store: BlockStore,
    private readonly layout: Layout,
    private readonly seed: number,
    private readonly headFrame: number,
    private readonly contentFrame: number,
  ) {
    this.head = memory.bytes.view(headFrame, store.blockBytes);
    this.content = memory.bytes.view(contentFrame, store.blockBytes);
  }

  /** 0; -EUCLEAN when the journal's superblock is not one; or what the store says. Task context, may sleep. */
  run(): MaySleep {
    return eagerly(this.memory.world, 'the recovery of a journal', this.passes());
  }

  private *passes() {
    const { layout, store } = this;
    let error = yield* settled(store.read(layout.journal, this.headFrame, 0));
    if (error < 0) return error;
    const superblock = this.head.subarray(0, JOURNAL_SUPERBLOCK_BYTES);
    if (!isSealed(superblock, Magic.journalSuperblock, this.seed, layout.journal)) return -EUCLEAN;
    this.nextTid = wordAt(superblock, 8);
    const first = wordAt(superblock, 12);
    if (!(first >= 1 && first < layout.journalBlocks)) return -EUCLEAN;
    let place = first;
    for (let left = layout.journalBlocks - 1; left > 0;) {
      const used = yield* this.readTransaction(place, left);
      if (used < 0) return used;
      if (used === 0) break;
      left -= used;
      place = this.after(place, used);
    }
    error = yield* this.replay();
    if (error < 0) return error;
    return yield* this.reset(place);
  }

  /** Blocks of the ring that the next transaction takes, 0 when there is none. */
  private *readTransaction(first: number, left: number) {
    const tid = this.nextTid;
    const logged: Logged[] = [];
    const revokes: number[] = [];
    let sum = ~0 >>> 0;
    for (let used = 0; used < left;) {
      const place = this.after(first, used);
      const error = yield* settled(this.store.read(this.layout.journal + place, this.headFrame, 0));
      if (error < 0) return error;
      const kind = this.kindOf(place, tid);
      const entries = entriesOf(this.head);
      used++;
      if (kind === Magic.journalCommit) {
        if (entries !== logged.length || commitSum(this.head) !== sum)
          return this.endRing(tid, 'whose parts do not fit');
        this.accept(logged, revokes);
        return used;
      }
      if (kind === Magic.journalRevoke && entries <= revokesPerBlock(this.store.blockBytes)) {
        for (let i = 0; i < entries; i++) revokes.push(revokedAt(this.head, i));
        continue;
      }
      if (kind !== Magic.journalDescriptor || entries > tagsPerDescriptor(this.store.blockBytes)) {
        return used === 1 ? 0 : this.endRing(tid, 'without a commit');
      }
      for (let i = 0; i < entries; i++, used++) {
        if (used >= left) return this.endRing(tid, 'that is longer than the ring');
        const from = this.after(first, used);
        const own = yield* this.sumAt(from);
        if (own < 0) return own;
        if (own !== tagSum(this.head, i)) return this.endRing(tid, 'with a torn block');
        const home = tagHome(this.head, i);
        if (!this.mayReplay(home)) return -EUCLEAN;
        sum = crc32cWord(sum, own);
        logged.push({ tid, home, place: from });
      }
    }
    return this.endRing(tid, 'without a commit');
  }

  /** Magic of a journal block of this transaction, or 0: it is older, or no block of the journal at all. */
  private kindOf(place: number, tid: number): number {
    const magic = wordAt(this.head, 0);
    if (magic !== Magic.journalCommit && magic !== Magic.journalDescriptor && magic !== Magic.journalRevoke) return 0;
    if (!isSealed(this.head, magic, this.seed, this.layout.journal + place)) return 0;
    return tidOf(this.head) === tid ? magic : 0;
  }

  private *sumAt(place: number) {
    const error = yield* settled(this.store.read(this.layout.journal + place, this.contentFrame, 0));
    return error < 0 ? error : crc32c(~0, this.content, 0, this.store.blockBytes);
  }

  /** Neither the superblock nor the journal itself is ever in a transaction. */
  private mayReplay(home: number): boolean {
    const { journal, journalBlocks, blocks } = this.layout;
    return home >= STATE_BLOCK && home < blocks && !(home >= journal && home < journal + journalBlocks);
  }

  private accept(logged: readonly Logged[], revokes: readonly number[]): void {
    this.logged.push(...logged);
    for (const block of revokes) this.revokes.set(block, this.nextTid);
    this.transactions++;
    this.nextTid++;
  }

  private endRing(tid: number, why: string): number {
    this.ended = `transaction ${tid} ${why}`;
    return 0;
  }

  private *replay() {
    for (const { tid, home, place } of this.logged) {
      if ((this.revokes.get(home) ?? 0) >= tid) {
        this.revoked++;
        continue;
      }
      let error = yield* settled(this.store.read(this.layout.journal + place, this.contentFrame, 0));
      if (error >= 0) error = yield* settled(this.store.write(home, this.contentFrame, 0));
      if (error < 0) return error;
      this.replayed++;
    }
    return 0;
  }

  /** Everything is home: the ring begins where it begins always. A part of a transaction keeps its number to itself. */
  private *reset(place: number) {
    if (place === 1 && this.ended === EMPTY) return 0;
    const flushed = yield* settled(this.store.flush());
    if (flushed < 0) return flushed;
    this.head.fill(0);
    setWord(this.head, 8, ++this.nextTid);
    setWord(this.head, 12, 1);
    const superblock = this.head.subarray(0, JOURNAL_SUPERBLOCK_BYTES);
    sealBlock(superblock, Magic.journalSuperblock, this.seed, this.layout.journal);
    return yield* settled(this.store.write(this.layout.journal, this.headFrame, 0, true));
  }

  private after(place: number, n: number): number {
    return 1 + ((place - 1 + n) % (this.layout.journalBlocks - 1));
  }
}
