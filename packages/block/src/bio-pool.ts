/**
 * A pool of bios: they are made once and reused, so that an I/O allocates nothing.
 *
 * The pool also does for its bios what needs a place in the world: it ends refused ones, dirties pages after reads in
 * task context, and at the end of a run names those that were submitted and never ended.
 * With the ledger in mode full a freed bio waits behind 64 others before it is reused, so that a driver which ends a bio
 * a second time is caught instead of ending somebody else's.
 * Source: Linux 6.18 block/bio.c (bio_alloc_bioset, bio_put, bio_dirty_fn).
 */
import type { Memory } from '@pincushion/mm';
import { Context, PincushionError, WorkItem, formatNs } from '@pincushion/sim';
import type { Task, Tracepoint } from '@pincushion/sim';
import { Bio, BioPages, BioState, deviceOf, ignoreEnd, opName } from './bio';
import type { BioOwner } from './bio';
import { bioReleasePages } from './release';
import { bioEndIo } from './end';

const QUARANTINED = 64;
/** Bio ids of pool p are p + 1024, p + 2048…: unique among the pools of a world. */
const ID_STEP = 1024;
/** Ids stay int32 and above 0: a pool begins again after two million bios. */
const ID_MASK = 0x7fffffff;
/** Bios that never ended which a report names one by one. */
const NAMED_MAX = 16;
/** Imported bindings are getters once compiled; the hot functions read constants of the module. */
const FREE = BioState.free;
const FILLING = BioState.filling;
const SUBMITTED = BioState.submitted;
const WAITING = BioState.waiting;
const NONE = BioPages.none;
const IGNORE = ignoreEnd;

export class BioPool implements BioOwner {
  readonly withSites: boolean;
  readonly onSubmit: Tracepoint;
  readonly onComplete: Tracepoint;

  private readonly all: Bio[] = [];
  /** Freed bios, `[0 .. spareCount)`: the one that is warm in the caches comes first. */
  private readonly spare: Bio[] = [];
  private spareCount = 0;
  /** With sites instead of `spare`: freed bios in the order of freeing. */
  private readonly quarantine: Bio[] = [];
  private nextId: number;
  private readonly endHandler: number;
  private readonly toDirty: Bio[] = [];
  private readonly dirtyWork: WorkItem;
  /** Ids of bios that a report has named already. */
  private readonly reportedIds = new Set<number>();

  /**
   * @param maxPages the most pages of one bio
   * @param ofDisk the pool of a disk's parts and requests: a bio of its submitter, which waits for them, stands for them in
   * the report of lost bios, and they have tracepoints of their own
   */
  constructor(
    readonly memory: Memory,
    readonly maxPages: number,
    ofDisk = false,
  ) {
    const world = memory.world;
    this.withSites = memory.ledger.mode === 'full';
    // The flow of an I/O in a trace goes by `bioId`: of a part it is the bio of the submitter.
    this.onSubmit = ofDisk
      ? world.trace.point('block:issue', ['bioId', 'part', 'sector', 'sectors'])
      : world.trace.point('block:submit', ['bioId', 'op', 'sector', 'sectors']);
    this.onComplete = ofDisk
      ? world.trace.point('block:issued', ['part', 'status', 'op', 'sectors'])
      : world.trace.point('block:complete', ['bioId', 'status', 'op', 'sectors']);
    this.endHandler = world.handler('block:end-refused', Context.softirq, (index) => {
      const bio = this.all[index];
      bioEndIo(bio, bio.status);
      return undefined;
    });
    this.nextId = ID_STEP + (this.endHandler % ID_STEP);
    this.dirtyWork = new WorkItem('block:dirty-pages', () => this.dirtyPages());
    if (ofDisk) return;
    world.atEnd(() => {
      this.reportNeverEnded();
      return undefined;
    });
  }

  /** A bio with a fresh id and everything else as new. Any context. The caller owes `free`, after the end if it submits. */
  alloc(): Bio {
    const bio = this.spareCount !== 0 ? this.spare[--this.spareCount] : this.another();
    const id = this.nextId;
    this.nextId = (id + ID_STEP) & ID_MASK;
    bio.id = id;
    bio.state = FILLING;
    bio.flags = 0;
    bio.status = 0;
    bio.bytes = 0;
    bio.pageKind = NONE;
    bio.pageCount = 0;
    bio.firstOffset = 0;
    bio.vectored = false;
    bio.retries = 0;
    return bio;
  }

  /** Takes a bio back. Its pages must have been given back. Any context; throws BIO_INVALID when it is in flight or free. */
  free(bio: Bio): void {
    const state = bio.state;
    if (state === SUBMITTED || state === FREE || state === WAITING || bio.children !== 0) this.badFree(bio);
    if (bio.pageKind !== NONE && bio.pageCount !== 0) this.badFree(bio);
    bio.state = FREE;
    bio.endIo = IGNORE;
    const disk = bio.disk;
    if (disk !== null) {
      bio.lastDiskName = disk.name;
      bio.disk = null;
    }
    if (this.withSites) this.quarantine.push(bio);
    else this.spare[this.spareCount++] = bio;
  }

  /** Bios allocated and not freed. */
  get live(): number {
    return this.all.length - this.spareCount - this.quarantine.length;
  }

  endLater(bio: Bio, status: number): void {
    bio.status = status;
    this.memory.world.schedule(0, this.endHandler, bio.index);
  }

  dirtyLater(bio: Bio): void {
    this.toDirty.push(bio);
    this.memory.world.work.queue(this.dirtyWork);
  }

  private another(): Bio {
    const released = this.quarantine.length > QUARANTINED ? this.quarantine.shift() : undefined;
    if (released !== undefined) return released;
    const bio = new Bio(this, this.all.length, this.maxPages);
    this.all.push(bio);
    return bio;
  }

  /** bio_dirty_fn: what bio_check_pages_dirty left for task context. */
  private *dirtyPages(): Task {
    for (let bio = this.toDirty.shift(); bio !== undefined; bio = this.toDirty.shift()) {
      const released = bioReleasePages(bio, this.memory, true);
      if (typeof released !== 'number') yield* released;
      this.free(bio);
    }
  }

  private reportNeverEnded(): void {
    const lost = this.all.filter(
      (bio) => (bio.state === SUBMITTED || bio.state === WAITING) && !this.reportedIds.has(bio.id),
    );
    if (lost.length === 0) return;
    for (const bio of lost) this.reportedIds.add(bio.id);
    const world = this.memory.world;
    const named = lost.slice(0, NAMED_MAX);
    const details = named.map(
      (bio) =>
        `bio ${bio.id}: ${opName(bio.op)} of ${bio.bytes} bytes at sector ${bio.sector} of ${bio.disk?.name ?? 'no disk'}, submitted ${formatNs(world.now - bio.submittedNs)} ago`,
    );
    if (lost.length > named.length) details.push(`and ${lost.length - named.length} more`);
    const device = lost[0].disk?.name;
    world.findings.report({
      code: 'BIO_NEVER_ENDED',
      summary: `${lost.length} bio${lost.length === 1 ? ' was' : 's were'} submitted and never ended`,
      ...(device === undefined ? {} : { device }),
      sites: named.flatMap(({ submitTrace, submittedNs }) =>
        submitTrace === null ? [] : [{ what: 'submitted', site: submitTrace.site(), atNs: submittedNs }],
      ),
      details,
    });
  }

  private badFree(bio: Bio): never {
    const why =
      bio.state === SUBMITTED
        ? 'while the driver still has it'
        : bio.children !== 0
          ? 'while chained bios have not ended'
          : bio.state === FREE
            ? 'a second time'
            : 'with its pages still held';
    throw new PincushionError('BIO_INVALID', `bio ${bio.id} was freed ${why}`, {
      ...deviceOf(bio),
    });
  }
}
