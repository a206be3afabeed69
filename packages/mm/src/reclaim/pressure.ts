/**
 * Memory pressure: kswapd, direct reclaim, and what happens when neither helps.
 *
 * An allocation that would take a zone below its low mark wakes kswapd, a thread that reclaims until all zones are above
 * their high marks and then ends. One that finds every zone below its min mark fails; whoever may sleep reclaims himself and
 * tries again (`Shortage`). That is at the edge of a fault, of a read or a write: inside, nothing yields while entries
 * change. When sixteen tries in a row free nothing, memory is out: the caller gets -ENOMEM, and OUT_OF_MEMORY says who has it.
 * No process is killed: an access of the program ends with -ENOMEM where Linux would choose a victim.
 * Dirty pages of files are written by the flushers meanwhile, and reclaim waits for them (`reclaim_throttle`).
 * Left out: the OOM killer and its reaper, reclaim for what drivers allocate (they are told -ENOMEM), compaction for large folios (they are done without), one kswapd for each node,
 * reclaim by those who may not start I/O, PF_MEMALLOC.
 * Source followed: mm/page_alloc.c `__alloc_pages_slowpath`, `should_reclaim_retry`; mm/vmscan.c `balance_pgdat`,
 * `do_try_to_free_pages`, `reclaim_throttle` (6.18).
 */
import { ENOMEM } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { eagerly } from '../eager-task';
import { deferredSplitScan } from '../huge/split-folio';
import type { Memory } from '../memory';
import { reportOutOfMemory } from './out-of-memory';
import { BATCH, shrinkLists } from './shrink-lists';
import type { ScanControl } from './shrink-lists';

/** `DEF_PRIORITY`: a pass looks at a part of 2^-12 of a list first, then at more. */
const PRIORITY = 12;
/** `MAX_RECLAIM_RETRIES`. */
const TRIES = 16;
/** `VMSCAN_THROTTLE_WRITEBACK` and its kind: HZ / 10. */
const THROTTLE_NS = 100_000_000;

export class MemoryPressure {
  /** The last allocation of one page failed because every zone is below its mark: reclaim could help. */
  starving = false;
  /** Threads of kswapd so far, and pages they and direct reclaim have freed; for reports. */
  kswapdRuns = 0;
  pagesFreedByKswapd = 0;
  pagesFreedDirectly = 0;
  /** Times somebody had to reclaim before he got his page (`allocstall`). */
  stalls = 0;
  private isRunning = false;
  /** kswapd has found nothing to free; it sleeps until somebody else frees something (`kswapd_failures`). */
  private isHopeless = false;
  private isReported = false;

  constructor(private readonly memory: Memory) {}

  /** An allocation went below a low mark. Any context. `wakeup_kswapd`. */
  wakeKswapd(): void {
    if (this.isRunning || this.isHopeless) return;
    this.isRunning = true;
    this.kswapdRuns++;
    this.memory.world.spawn(this.kswapd(), { name: `kswapd of ${this.memory.name}` });
  }

  /** No zone is below its high mark. */
  get isBalanced(): boolean {
    return this.memory.zones.every(({ buddy, watermarks }) => buddy === null || buddy.framesFree >= watermarks.high);
  }

  /** Frees pages for a caller who may sleep, if it takes long: how many. `try_to_free_pages`. */
  *reclaim(): Task<number> {
    const freed = yield* this.passes({ wanted: BATCH, mayWait: true, extra: 0 });
    this.pagesFreedDirectly += freed;
    if (freed > 0) this.relieved();
    return freed;
  }

  /** Frees `wanted` pages, or what can be freed without waiting: how many. Task context. */
  reclaimNow(wanted: number): number {
    this.starving = false;
    for (let fruitless = 0; fruitless < TRIES; fruitless++) {
      const step = this.passes({ wanted, mayWait: false, extra: wanted }).next();
      if (step.done === true && step.value > 0) return step.value;
    }
    return 0;
  }

  /** Nothing could be freed, however often: says who has the memory, once until there is some again. */
  outOfMemory(what: string): void {
    if (this.isReported) return;
    this.isReported = true;
    reportOutOfMemory(this.memory, what);
  }

  /** Waits for writes that are on their way, for a tenth of a second at most. `reclaim_throttle`. */
  *throttle(): Task {
    const { writeback, world } = this.memory;
    writeback.wakeFlushers();
    if (writeback.flushers.some((flusher) => !flusher.isStalled)) yield* writeback.waitForProgress(THROTTLE_NS);
    else yield* world.sleep(THROTTLE_NS);
  }

  /** Whether pages of files wait to be written, or anything is being written, swap included. */
  get isWriting(): boolean {
    const { writeback, swap } = this.memory;
    return writeback.dirtyPages + writeback.writebackPages + swap.writesOnTheirWay > 0;
  }

  /** `balance_pgdat`. */
  private *kswapd(): Task {
    for (let failures = 0; !this.isBalanced && failures < TRIES;) {
      const freed = yield* this.passes({ wanted: this.missing(), mayWait: true, extra: 0 });
      this.pagesFreedByKswapd += freed;
      if (freed > 0) {
        this.relieved();
        failures = 0;
      } else {
        if (this.isWriting) yield* this.throttle();
        failures++;
      }
    }
    this.isHopeless = !this.isBalanced;
    this.isRunning = false;
  }

  /** Pages that all zones lack. */
  private missing(): number {
    let pages = 0;
    for (const { buddy, watermarks } of this.memory.zones) {
      if (buddy !== null) pages += Math.max(0, watermarks.high - buddy.framesFree);
    }
    return Math.max(pages, BATCH);
  }

  private *passes(control: ScanControl): Task<number> {
    const { memory } = this;
    if (!memory.lru.on) this.beginLists();
    let freed = 0;
    for (let priority = PRIORITY; priority >= 0 && freed < control.wanted; priority--) {
      freed += yield* shrinkLists(memory, { ...control, wanted: control.wanted - freed }, priority);
    }
    if (freed === 0) freed += deferredSplitScan(memory) + memory.hugeZero.shrink();
    return freed;
  }

  /** Nobody has asked for the order of the lists before. */
  private beginLists(): void {
    const { lru, zones } = this.memory;
    lru.begin(zones.map(({ start, buddy }) => ({ start, end: buddy?.untouched ?? start })));
  }

  private relieved(): void {
    this.isHopeless = false;
    this.isReported = false;
  }
}

/** One allocation that does not find a page: its tries. */
export class Shortage {
  private fruitless = 0;

  /** `what`: who needs the page, for the report. */
  constructor(
    private readonly memory: Memory,
    private readonly what: string,
  ) {}

  /** 1: pages were freed, or may have been, and the allocation is to be tried again. -ENOMEM: it is of no use. May sleep. */
  relieve(): MaySleep {
    return eagerly(this.memory.world, 'memory to be reclaimed', this.reclaim());
  }

  private *reclaim() {
    const { pressure } = this.memory;
    pressure.starving = false;
    pressure.stalls++;
    const freed = yield* pressure.reclaim();
    if (freed > 0) {
      this.fruitless = 0;
      return 1;
    }
    if (++this.fruitless < TRIES) {
      if (pressure.isWriting) yield* pressure.throttle();
      return 1;
    }
    pressure.outOfMemory(this.what);
    return -ENOMEM;
  }
}
