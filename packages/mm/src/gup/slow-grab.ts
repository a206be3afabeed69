/**
 * The slow half of GUP: drives walks through faults that may sleep, and for long-term pins moves what may not stay.
 *
 * Source followed: mm/gup.c `__get_user_pages_locked`, `__gup_longterm_locked`, `check_and_migrate_movable_pages` (6.18).
 */
import { EAGAIN, sleeping } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import { FOLL_LONGTERM } from './gup-flags';
import * as rules from './gup-rules';
import { SlowWalk } from './gup-slow';
import type { Memory } from '../memory';
import { folioIsLongtermPinnable, migrateLongtermUnpinnable } from '../reclaim/migrate';
import type { Mm } from '../process/mm';
import type { RefusalLog } from './refusal-log';
import { FRAME_MASK } from './user-page';
import { ZERO_PFN } from '../frames/zero-page';

/** How often a long-term pin moves pages and begins anew; twice is the usual number. */
export const LONGTERM_ROUNDS = 100;
const MASK = FRAME_MASK;
const ZERO = ZERO_PFN;
const NO_HEADS: readonly number[] = [];

export class SlowGrab {
  constructor(
    private readonly memory: Memory,
    private readonly refusals: RefusalLog,
  ) {}

  /**
   * Grabs `nr` pages from `first` on into `pages[at…]`: how many, or -errno for none. `flags` are checked and have all
   * internal ones; `what` is the call, for whoever asks what a task waits for. Without `pages` it only faults in (E-10).
   *
   * SL-02: a long-term pin looks at what it got; what may not stay there is moved, and the walk begins anew.
   */
  grab(mm: Mm, first: number, nr: number, flags: number, pages: Int32Array | null, at: number, what: string): MaySleep {
    const got = this.drive(new SlowWalk(mm, first, nr, flags, pages, at), what);
    if ((flags & FOLL_LONGTERM) === 0 || pages === null) return got;
    if (typeof got === 'number' && this.unpinnable(pages, at, got).length === 0) return got;
    return eagerly(this.memory.world, what, this.grabLongterm(got, mm, first, nr, flags, pages, at, what));
  }

  /** `__get_user_pages` without pages: brings them in. */
  faultIn(mm: Mm, start: number, nr: number, flags: number): MaySleep {
    return this.drive(new SlowWalk(mm, start, nr, flags, null, 0), 'faultIn');
  }

  /**
   * `__gup_longterm_locked`, after the first walk. The kernel goes round until a fatal signal as long as pages that may not
   * stay come back (L-02); here a few rounds end like that signal.
   */
  private *grabLongterm(
    walked: MaySleep,
    mm: Mm,
    first: number,
    nr: number,
    flags: number,
    pages: Int32Array,
    at: number,
    what: string,
  ) {
    let got = yield* settled(walked);
    for (let round = 0; round < LONGTERM_ROUNDS; round++) {
      const checked = yield* settled(this.moveUnpinnable(got, pages, at));
      if (checked !== -EAGAIN) return checked;
      got = yield* settled(this.drive(new SlowWalk(mm, first, nr, flags, pages, at), what));
    }
    this.releaseQuietly(pages, at, got);
    return this.refusals.refuse(rules.NEVER_SETTLES);
  }

  /** Walks to the end, faults included; a task from the first fault that sleeps on. */
  private drive(walk: SlowWalk, what: string): MaySleep {
    while (!walk.advance()) {
      const fault = walk.fault();
      if (typeof fault !== 'number') {
        if (walk.mayNotWait) {
          fault.return(0);
          walk.stop();
          break;
        }
        return sleeping(this.memory.world, what, () => this.driveLater(walk, fault));
      }
      if (walk.faulted(fault)) break;
    }
    return this.ended(walk);
  }

  private *driveLater(walk: SlowWalk, pending: Task<number>) {
    let fault: MaySleep = pending;
    for (;;) {
      const hadToWait = typeof fault !== 'number';
      const result: number = typeof fault === 'number' ? fault : yield* fault;
      if (walk.faulted(result) || (hadToWait && walk.signalled()) || walk.advance()) return this.ended(walk);
      fault = walk.fault();
    }
  }

  private ended(walk: SlowWalk): number {
    if (walk.refusal !== null) this.refusals.refuse(walk.refusal);
    return walk.result;
  }

  /**
   * Of `got` pinned pages all may stay: `got`. Else all are unpinned, and those that may not stay are moved: -EAGAIN, or
   * -ENOMEM when one could not be (L-01). The kernel tries for ever while a page is off its list (L-02); here that is
   * -ENOMEM too. `check_and_migrate_movable_pages`.
   */
  private moveUnpinnable(got: number, pages: Int32Array, at: number): MaySleep {
    const heads = this.unpinnable(pages, at, got);
    if (heads.length === 0) return got;
    this.releaseQuietly(pages, at, got);
    return this.move(heads);
  }

  /** Heads of the folios that a long-term pin may not keep where they are, each once. */
  unpinnable(pages: Int32Array, at: number, n: number): readonly number[] {
    const { memory } = this;
    let heads: Set<number> | null = null;
    for (let i = 0; i < n; i++) {
      const head = memory.frames.headOf(pages[at + i] & MASK);
      if (!folioIsLongtermPinnable(memory, head)) (heads ??= new Set()).add(head);
    }
    return heads === null ? NO_HEADS : [...heads];
  }

  /** `migrate_longterm_unpinnable_folios`: -EAGAIN when all were moved, else -ENOMEM. */
  move(heads: readonly number[]): MaySleep {
    const moved = migrateLongtermUnpinnable(this.memory, heads);
    if (typeof moved === 'number') return this.afterMove(moved);
    return sleeping(this.memory.world, 'moving pages for a long-term pin', () => this.moveLater(moved));
  }

  private *moveLater(pending: Task<number>) {
    return this.afterMove(yield* pending);
  }

  private afterMove(moved: number): number {
    if (moved === 0) return -EAGAIN;
    this.refusals.refuse(rules.NOT_MOVABLE);
    return moved;
  }

  /** Takes pins back that no holder has seen yet: the ledger does not know them. */
  private releaseQuietly(pages: Int32Array, at: number, n: number): void {
    const { frames, scheme, vmstat } = this.memory;
    for (let i = at; i < at + n; i++) {
      const pfn = pages[i] & MASK;
      if (pfn !== ZERO) {
        if (frames.order[pfn] !== 0) scheme.releaseFolio(frames.headOf(pfn), 1);
        else scheme.release(pages, i, 1);
        vmstat.nrFollPinReleased++;
      }
      pages[i] = 0;
    }
  }
}
