/**
 * What memory management does to single pages, told to whoever wants to follow it step by step (`pincushion ask`).
 *
 * Each mechanism tells at the place where its rule lives: `if (memory.mechanisms.on) memory.mechanisms.emit(…)`. That is
 * one field test when nobody listens. It is a tracepoint of its own and not among those of the world, because it speaks of
 * single pages, and a recorded run would be full of it.
 */
import type { Mm } from './process/mm';
import { PTRS_PER_TABLE } from './process/page-table';

/** Fields of the tracepoint `Memory.mechanisms`. `place`: see `placeOf`; 0 where no process acted. */
export const MECHANISM_FIELDS: readonly string[] = ['mechanism', 'frame', 'other', 'place'];

interface MechanismRule {
  /** Ids of the rules, or the kernel's function where there is none. */
  readonly rule: string;
  /** What happened to `frame`; `{other}` is the second frame. */
  readonly sentence: string;
}

const RULES = {
  newPage: { rule: 'X-01, do_anonymous_page', sentence: 'a new page full of zeros, exclusive from the start' },
  zeroPage: {
    rule: 'R-04, do_anonymous_page',
    sentence: 'an untouched page is only read: it shows the shared zero page',
  },
  newHuge: { rule: 'X-01, do_huge_pmd_anonymous_page', sentence: 'a new huge folio for the whole region, exclusive' },
  hugeZero: {
    rule: 'R-07, do_huge_pmd_anonymous_page',
    sentence: 'an untouched region is only read: it shows the huge zero folio',
  },
  newHugetlb: { rule: 'X-01, hugetlb_no_page', sentence: 'a huge page is taken from its pool' },
  keepOwn: {
    rule: 'X-03, do_wp_page',
    sentence: 'the page is exclusive, so the writer keeps it, whoever holds references',
  },
  takeOver: {
    rule: 'X-04, wp_can_reuse_anon_folio',
    sentence: 'nobody else refers to the page any more: the writer takes it over, and it is exclusive again',
  },
  cow: {
    rule: 'X-04, wp_page_copy',
    sentence: 'the page is not exclusive and somebody else refers to {other}: the writer gets a copy',
  },
  fromZero: {
    rule: 'wp_page_copy',
    sentence: 'the zero page cannot be written to: the process gets a page of its own',
  },
  unshare: {
    rule: 'X-06, do_wp_page',
    sentence: 'a pin must not hold a page that is shared: the process gets a copy of {other} first, still read-only',
  },
  forkCopy: {
    rule: 'P-04, section 11, copy_present_page',
    sentence: 'fork copied {other} at once, because it may be pinned: the parent keeps it, the child gets this copy',
  },
  forkShare: {
    rule: 'X-02, section 11, copy_present_ptes',
    sentence: 'fork shares the private pages with the child, read-only for both; none of them is exclusive any more',
  },
  fileMap: {
    rule: 'filemap_map_pages',
    sentence: 'the page of the page cache is mapped, with those around it that are cached',
  },
  fileCopy: {
    rule: 'do_cow_fault',
    sentence: 'the first write to a private file mapping: a copy of {other} of the page cache',
  },
  fileWrite: {
    rule: 'W-01, page_mkwrite',
    sentence: 'the file system is told before the first write, and the page is dirty',
  },
  cleaned: {
    rule: 'W-01, folio_mkclean',
    sentence: 'writeback makes the page clean and read-only in all page tables; a pin does not stop it (W-02)',
  },
  truncated: {
    rule: 'section 14, truncate_inode_folio',
    sentence: 'the page leaves the page cache; pins are not waited for',
  },
  swapOut: { rule: 'X-02, try_to_unmap_one', sentence: 'the page is unmapped and a swap entry takes its place' },
  swapIn: { rule: 'X-02, do_swap_page', sentence: 'the page comes back from swap' },
  reclaimKeeps: {
    rule: 'section 14, shrink_folio_list',
    sentence: 'reclaim leaves the page alone, because it may be pinned',
  },
  discarded: {
    rule: 'section 14, MADV_FREE',
    sentence: 'the page was given up and not written to since: it is thrown away',
  },
  migrated: {
    rule: 'L-05, migrate_folio',
    sentence: 'the content of {other} moves here, and all who mapped it map this page',
  },
  merged: { rule: 'X-02, replace_page', sentence: 'KSM lets the process show the merged page in place of {other}' },
  splitPmd: { rule: '__split_huge_pmd', sentence: 'the huge mapping becomes 512 small ones; the folio stays whole' },
  splitFolio: {
    rule: 'split_folio',
    sentence: 'the huge folio becomes small pages; those full of zeros become the zero page',
  },
  collapsed: { rule: 'collapse_huge_page', sentence: 'the small pages of the region are copied into a new huge folio' },
  hugeCopy: {
    rule: 'X-04, hugetlb_wp',
    sentence: 'the huge page is mapped by others, too: the process gets a copy of {other} from the pool',
  },
  uffdResolved: {
    rule: 'do_wp_page',
    sentence: 'the write ends the write protection by userfaultfd, which is asynchronous',
  },
} as const satisfies Readonly<Record<string, MechanismRule>>;

export type MechanismName = keyof typeof RULES;

/** All mechanisms by their number. */
export const MECHANISMS: readonly (MechanismRule & { readonly name: MechanismName })[] = (
  Object.keys(RULES) as MechanismName[]
).map((name) => ({ name, ...RULES[name] }));

/** The number that stands for a mechanism in the tracepoint. */
export const Mechanism: Readonly<Record<MechanismName, number>> = Object.fromEntries(
  MECHANISMS.map(({ name }, number) => [name, number]),
) as Record<MechanismName, number>;

/** Pages of an address space fit below. */
const PLACES_PER_MM = 2 ** 36;

/** A page of a process, as one number. */
export function placeOf(mm: Mm, region: number, index: number): number {
  return mm.id * PLACES_PER_MM + region * PTRS_PER_TABLE + index;
}

/** The id of the process and the page number that `placeOf` put together. */
export function splitPlace(place: number): { readonly mmId: number; readonly page: number } {
  const mmId = Math.floor(place / PLACES_PER_MM);
  return { mmId, page: place - mmId * PLACES_PER_MM };
}
