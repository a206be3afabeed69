/**
 * The pool of huge pages of one size, and the promises made from it (the kernel's `struct hstate`).
 *
 * The pages are set apart when the machine boots: a freed one goes back to the pool, unless another page has taken its
 * place meanwhile (migration). A mapping reserves its pages in advance, so that its faults cannot fail; what is free beyond that, `available`, is
 * for everybody else. A free page of the pool has no references but keeps its size, `PG_head` and `PG_hugetlb`.
 * Pages of 2 MiB come from the lists of the page allocator, those of 1 GiB from memory nobody has touched yet.
 * Left out: surplus pages (overcommit), subpools, changing the size of the pool, more than one node, cgroups.
 * Source followed: mm/hugetlb.c (6.18).
 */
import { ENOMEM, PincushionError } from '@pincushion/sim';
import { MAX_PAGE_ORDER } from '../frames/buddy';
import { PG_cma, PG_head, PG_hugetlb, ZONES_SHIFT } from '../frames/frames';
import type { Memory } from '../memory';
import { PAGE_SIZE } from '../frames/page-size';
import { Gfp, ZoneType } from '../frames/zone';
import type { GfpFlags } from '../frames/zone';

export const HUGETLB_2M_ORDER = 9;
export const HUGETLB_1G_ORDER = 18;

export class HugetlbPool {
  /** Pages of the pool, in use or not. */
  readonly pagesTotal: number;
  /** Free pages that somebody has been promised (`resv_huge_pages`). */
  pagesReserved = 0;
  /** Heads of the free pages; the one freed last is used first. */
  private readonly free: number[] = [];
  /** Pages that go back to the page allocator when they are freed: another took their place (`HPG_temporary`). */
  private readonly temporary = new Set<number>();
  /** Pages in use that fulfil a reservation again when they are freed (`HPG_restore_reserve`). */
  private readonly restoring = new Set<number>();

  /** Sets `pages` pages of 2^order frames apart. Throws MEMORY_INVALID when the memory is too small. */
  constructor(
    private readonly memory: Memory,
    readonly order: number,
    pages: number,
  ) {
    for (let i = 0; i < pages; i++) {
      const head = memory.takeHugetlbFrames(order);
      if (head < 0) {
        throw new PincushionError(
          'MEMORY_INVALID',
          `${memory.name} cannot have ${pages} huge pages of ${this.pageBytes >> 20} MiB`,
          {
            expected: 'enough memory for the pool of huge pages',
            actual: `room for ${i}`,
          },
        );
      }
      this.enqueue(head);
    }
    this.pagesTotal = pages;
  }

  /** Bytes of one page. */
  get pageBytes(): number {
    return PAGE_SIZE << this.order;
  }

  /** Larger than what the page allocator has (`hstate_is_gigantic`). */
  get isGigantic(): boolean {
    return this.order > MAX_PAGE_ORDER;
  }

  /** What contradicts itself about the free pages, a sentence each: for `memoryContradictions`. */
  contradictions(): string[] {
    const { refcount, flags, order } = this.memory.frames;
    return this.free
      .filter((head) => refcount[head] !== 0 || (flags[head] & PG_hugetlb) === 0 || order[head] !== this.order)
      .map(
        (head) =>
          `frame ${head} is a free page of a hugetlb pool and has ${refcount[head]} references, order ${order[head]}`,
      );
  }

  /** Whether a page of the pool is free. */
  isFree(head: number): boolean {
    return this.free.includes(head);
  }

  get pagesFree(): number {
    return this.free.length;
  }

  /** Pages in use whose freeing makes a promise again; until then `pagesReserved` may be negative, as the kernel's. */
  get pagesRestoring(): number {
    return this.restoring.size;
  }

  /** Free pages that are promised to nobody. `available_huge_pages`. */
  get available(): number {
    return this.free.length - this.pagesReserved;
  }

  /** Promises `pages` pages, or takes promises back when negative. 0 or -ENOMEM. `hugetlb_acct_memory`. */
  account(pages: number): number {
    if (pages > this.available) return -ENOMEM;
    this.pagesReserved += pages;
    return 0;
  }

  /**
   * A page with one reference and content zero; -ENOMEM. `isReserved`: it redeems a promise, and does so again when it is
   * given back unused. `isPinned`: a long-term pin is to come, so it must lie where such a pin may stay (L-07).
   * `dequeue_hugetlb_folio_vma` and the end of `alloc_hugetlb_folio`.
   */
  take(isReserved: boolean, isPinned: boolean): number {
    if (!isReserved && this.available <= 0) return -ENOMEM;
    const { frames } = this.memory;
    for (let i = this.free.length - 1; i >= 0; i--) {
      const head = this.free[i];
      if (isPinned && !this.isPinnable(head)) continue;
      this.free.splice(i, 1);
      frames.refcount[head] = 1;
      if (isReserved) {
        this.pagesReserved--;
        this.restoring.add(head);
      }
      return head;
    }
    return -ENOMEM;
  }

  /** The page is in use now: giving it back is no longer giving back a promise. `folio_clear_hugetlb_restore_reserve`. */
  used(head: number): void {
    this.restoring.delete(head);
  }

  /** The page is to be kept for its mapping when it is freed. `folio_set_hugetlb_restore_reserve`. */
  keepReserved(head: number): void {
    this.restoring.add(head);
  }

  /**
   * The last reference is gone. True: the page is back in the pool; false: it is for the page allocator. `free_huge_folio`.
   */
  freed(head: number): boolean {
    if (this.restoring.delete(head)) this.pagesReserved++;
    if (this.temporary.delete(head)) return false;
    this.enqueue(head);
    return true;
  }

  /**
   * A page to move another one of the pool to, with one reference, where `gfp` allows; -ENOMEM. When the pool has none it
   * comes from the page allocator. `alloc_hugetlb_folio_nodemask`.
   */
  takeForMigration(gfp: GfpFlags): number {
    const pooled = this.take(false, gfp === Gfp.kernel);
    if (pooled >= 0) return pooled;
    const head = this.memory.allocFolio(this.order, gfp);
    if (head < 0) return -ENOMEM;
    this.memory.frames.flags[head] |= PG_hugetlb;
    this.temporary.add(head);
    return head;
  }

  /** The content of `from` has moved to `to`: if that came from the allocator, `from` goes there. `move_hugetlb_state`. */
  moved(from: number, to: number): void {
    if (this.temporary.delete(to)) this.temporary.add(from);
    if (this.restoring.delete(from)) this.restoring.add(to);
  }

  /**
   * A free page of the pool is in the way: its frames go to the page allocator and others take their place. False: it is
   * not free, or there are no others. `alloc_and_dissolve_hugetlb_folio`.
   */
  dissolveFree(head: number): boolean {
    const { frames } = this.memory;
    const at = this.free.indexOf(head);
    const other = at < 0 || this.isGigantic ? -ENOMEM : this.memory.takeHugetlbFrames(this.order);
    if (other < 0) return false;
    this.free.splice(at, 1);
    this.enqueue(other);
    frames.refcount[head] = 1;
    this.temporary.add(head);
    frames.put(head, 1);
    return true;
  }

  private enqueue(head: number): void {
    const { frames, zones } = this.memory;
    const zone = zones.find((each) => head >= each.start && head < each.end);
    const place = ((zone?.type ?? 0) << ZONES_SHIFT) | (zone?.cma === true ? PG_cma : 0);
    frames.flags.fill(0, head, head + (1 << this.order));
    frames.flags[head] = place | PG_head | PG_hugetlb;
    frames.refcount[head] = 0;
    frames.mapping[head] = 0;
    frames.index[head] = 0;
    this.free.push(head);
  }

  /** `folio_is_longterm_pinnable`. */
  private isPinnable(head: number): boolean {
    const flags = this.memory.frames.flags[head];
    return (flags & PG_cma) === 0 && ((flags >>> ZONES_SHIFT) & 3) !== ZoneType.movable;
  }
}
