/**
 * How the pages of a bio go back, by the kind that the bio carries (B-06, B-07), and how pages that a device wrote get
 * dirty although the end of the I/O comes in an interrupt, where no page may be dirtied (U-03):
 *
 * ```
 * task       bioSetPagesDirty: dirty before the device writes (B-08)
 * interrupt  bioCheckPagesDirty: still all dirty -> give back now
 *                                one is clean    -> a work item dirties all, then gives back (B-09)
 * ```
 * Source: Linux 6.18 block/bio.c (__bio_release_pages, bio_set_pages_dirty, bio_check_pages_dirty).
 */
import type { GottenPages, Memory, PinnedPages } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { BioPages } from './bio';
import type { Bio } from './bio';

/** Imported bindings are getters once compiled; the hot functions read constants of the module. */
const NONE = BioPages.none;
const PIN = BioPages.pin;

/**
 * Gives the pages of a bio back: unpins pinned ones, puts gotten ones, leaves others alone. The bio has none afterwards.
 * Any context; with `markDirty` task context only, and then the result may be a task. Result 0.
 */
export function bioReleasePages(bio: Bio, memory: Memory, markDirty: boolean): MaySleep {
  const n = bio.pageCount;
  const kind = bio.pageKind;
  if (!markDirty || kind === NONE || n === 0) {
    bioPutPages(bio, memory);
    return 0;
  }
  bio.pageCount = 0;
  return kind === PIN
    ? memory.gup.unpinUserPagesDirtyLock(bio.pages as PinnedPages, 0, n, true)
    : dirtyAndPut(bio.pages as GottenPages, n, memory);
}

/** The form of bioReleasePages that dirties nothing, never sleeps and has no result. Any context. */
export function bioPutPages(bio: Bio, memory: Memory): void {
  const n = bio.pageCount;
  const kind = bio.pageKind;
  if (kind === NONE || n === 0) return;
  bio.pageCount = 0;
  if (kind === PIN) memory.gup.unpinUserPages(bio.pages as PinnedPages, 0, n);
  else memory.gup.putPages(bio.pages as GottenPages, 0, n);
}

/** Dirties the pages before the device writes them, so that the end of the I/O usually has nothing to do. Task context. */
export function bioSetPagesDirty(bio: Bio, memory: Memory): void {
  const gup = memory.gup;
  const pages = bio.pages;
  for (let i = 0; i < bio.pageCount; i++) gup.markDirty(pages[i]);
}

/**
 * After a read: gives the pages back and frees the bio, now if all are still dirty, else later by a work item. Any
 * context. The bio is no longer the caller's.
 */
export function bioCheckPagesDirty(bio: Bio, memory: Memory): void {
  const gup = memory.gup;
  const pages = bio.pages;
  for (let i = 0; i < bio.pageCount; i++) {
    if (!gup.isDirty(pages[i])) {
      memory.writeback.counts.biosDeferred++;
      bio.owner.dirtyLater(bio);
      return;
    }
  }
  bioPutPages(bio, memory);
  bio.owner.free(bio);
}

function* dirtyAndPut(pages: GottenPages, n: number, memory: Memory): Task<number> {
  for (let i = 0; i < n; i++) {
    const dirtied = memory.gup.setPageDirtyLock(pages[i]);
    if (typeof dirtied !== 'number') yield* dirtied;
  }
  memory.gup.putPages(pages, 0, n);
  return 0;
}
