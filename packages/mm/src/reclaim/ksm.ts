/**
 * KSM: pages of equal content become one, read-only for all who map it.
 *
 * A pass looks at each page of the areas marked MADV_MERGEABLE. A page whose content did not change since the pass before
 * is compared with the merged pages (the stable tree) and then with the pages this pass has seen (the unstable tree). The
 * page found second becomes the merged one, in place; the first is replaced by it. A page that somebody else refers to,
 * pinned ones above all, is left alone: its holder could write to it.
 * Left out: NUMA trees, chains of copies (max_page_sharing), merging of zero pages (use_zero_pages), the smart scan.
 * Source followed: mm/ksm.c `cmp_and_merge_page`, `try_to_merge_two_pages`, `write_protect_page`, `replace_page` (6.18).
 */
import { sleeping } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { AnonVma, anonVmaPrepare } from '../frames/anon-vma';
import { handleMmFault } from '../faults/fault';
import { FAULT_UNSHARE } from '../faults/fault-flags';
import { PG_anon, PG_anonExclusive, PG_dirty, PG_ksm, PG_referenced, PG_swapcache } from '../frames/frames';
import { Mechanism, placeOf } from '../mechanism';
import type { ContentOwner, Memory } from '../memory';
import { mlockVmaFolio, munlockVmaFolio } from '../process/mlock-folio';
import type { Mm } from '../process/mm';
import { vmPageProt } from '../process/page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import { PTE_DIRTY, PTE_PRESENT, PTE_SPECIAL, PTE_WRITE, indexOf, regionOf } from '../process/page-table';
import { folioAddFileRmapPte, folioRemoveRmapPte } from '../frames/rmap';
import { splitFolio } from '../huge/split-folio';
import { folioFreeSwap } from './swap';
import { folioTryShareAnonRmap } from './unmap-folio';
import { VM_HUGETLB, VM_MERGEABLE, VM_PFNMAP, VM_SHARED } from '../process/vma-flags';
import type { Vma } from '../process/vma';

/** A page of a mergeable area (`ksm_rmap_item`). */
interface Candidate {
  readonly mm: Mm;
  readonly address: number;
  /** Content at the last pass; null before the first. */
  checksum: number | null;
}

/** One merged page and who was merged into it (`ksm_stable_node`). */
class KsmNode implements ContentOwner {
  readonly name = 'a page merged by KSM';
  readonly id: number;
  private readonly members: { readonly anon: AnonVma; readonly index: number }[] = [];

  constructor(
    memory: Memory,
    public pfn: number,
  ) {
    this.id = memory.addOwner(this);
  }

  moved(_from: number, to: number): undefined {
    this.pfn = to;
    return undefined;
  }

  /** Whoever maps page `index`, modulo 2^32, of the family `anon` may map this page. */
  add(anon: AnonVma, index: number): void {
    if (!this.members.some((known) => known.anon === anon && known.index === index)) this.members.push({ anon, index });
  }

  /** Each place once: a parent and its child can both have been merged into the page, and know each other's areas. */
  *mappedBy(): Iterable<{ vma: Vma; address: number }> {
    const seen = new Map<Vma, Set<number>>();
    for (const { anon, index } of this.members) {
      for (const vma of anon.vmas) {
        const at = ((index - (vma.pageOffset | 0)) | 0) >>> 0;
        if (at >= (vma.end - vma.start) / PAGE_SIZE) continue;
        const inArea = seen.get(vma) ?? new Set<number>();
        if (inArea.has(at)) continue;
        seen.set(vma, inArea.add(at));
        yield { vma, address: vma.start + at * PAGE_SIZE };
      }
    }
  }
}

export class Ksm {
  /** By process and address. A page that a pass does not find any more is forgotten by it. */
  private candidates = new Map<Mm, Map<number, Candidate>>();
  /** Merged pages by their checksum. */
  private readonly stable = new Map<number, KsmNode[]>();

  constructor(private readonly memory: Memory) {}

  /** `passes` full scans of all mergeable areas. Task context. `ksm_do_scan`. */
  scan(passes: number): void {
    this.memory.world.contexts.mightSleep('ksmd');
    for (let pass = 0; pass < passes; pass++) {
      this.forgetFreed();
      const unstable = new Map<number, Candidate[]>();
      const before = this.candidates;
      this.candidates = new Map<Mm, Map<number, Candidate>>();
      for (const mm of this.memory.mms) {
        for (const vma of mm.vmas.all) if (isMergeable(vma)) this.scanArea(mm, vma, unstable, before);
      }
    }
  }

  private scanArea(
    mm: Mm,
    vma: Vma,
    unstable: Map<number, Candidate[]>,
    before: ReadonlyMap<Mm, ReadonlyMap<number, Candidate>>,
  ): void {
    const known = before.get(mm);
    const now = this.candidates.get(mm) ?? new Map<number, Candidate>();
    this.candidates.set(mm, now);
    for (let address = vma.start; address < vma.end; address += PAGE_SIZE) {
      const pfn = this.anonPageAt(mm, address);
      if (pfn <= 0) continue;
      const candidate = known?.get(address) ?? { mm, address, checksum: null };
      now.set(address, candidate);
      if ((this.memory.frames.flags[pfn] & PG_ksm) === 0) this.compareAndMerge(candidate, vma, pfn, unstable);
    }
  }

  /** `cmp_and_merge_page`. A page that changed since the last pass is not even looked up (6.11). */
  private compareAndMerge(candidate: Candidate, vma: Vma, pfn: number, unstable: Map<number, Candidate[]>): void {
    const { mm, address } = candidate;
    const { bytes, frames } = this.memory;
    const sum = bytes.checksum(pfn);
    if (candidate.checksum !== sum) {
      candidate.checksum = sum; // Still changing: wait for the next pass.
      return;
    }
    const node = this.stable.get(sum)?.find((known) => bytes.equal(known.pfn, pfn));
    if (node !== undefined) {
      this.mergeInto(node, mm, vma, address, pfn);
      return;
    }
    const twin = this.twinOf(pfn, unstable.get(sum) ?? []);
    if (twin === null) {
      unstable.set(sum, [...(unstable.get(sum) ?? []), candidate]);
    } else if (frames.headOf(twin.pfn) === frames.headOf(pfn)) {
      splitFolio(this.memory, frames.headOf(pfn)); // The split takes what the pass had in hand; merging waits for the next.
    } else this.mergeTwo({ mm, vma, address, pfn }, twin, sum);
  }

  /** A page of the same content that this pass has come to before. `unstable_tree_search_insert`. */
  private twinOf(pfn: number, others: readonly Candidate[]): Place | null {
    for (const { mm, address } of others) {
      const other = this.anonPageAt(mm, address);
      const vma = mm.vmas.lookup(address);
      if (other > 0 && other !== pfn && vma !== null && this.memory.bytes.equal(other, pfn)) {
        return { mm, vma, address, pfn: other };
      }
    }
    return null;
  }

  /**
   * `try_to_merge_two_pages`: the page at hand becomes the merged one, the other is replaced by it. When the other refuses
   * (it is pinned), the first one was merged with nobody, and gets away by a copy of its own.
   */
  private mergeTwo(kept: Place, other: Place, sum: number): void {
    const { frames } = this.memory;
    const owner = this.memory.owner(frames.mapping[frames.headOf(kept.pfn)]);
    if (!(owner instanceof AnonVma) || !this.makeSmall(kept) || !this.writeProtect(kept)) return;
    const node = new KsmNode(this.memory, kept.pfn);
    node.add(owner, kept.vma.pageIndexOf(kept.address) | 0);
    frames.flags[kept.pfn] |= PG_ksm | PG_dirty | PG_referenced;
    frames.mapping[kept.pfn] = node.id;
    if (!this.makeSmall(other) || !this.writeProtect(other)) {
      const broken = breakKsm(kept.mm, kept.vma, kept.address); // `break_cow`
      if (typeof broken !== 'number') broken.return(0); // Never: an anonymous page is unshared without waiting.
      return;
    }
    this.stable.set(sum, [...(this.stable.get(sum) ?? []), node]);
    this.replace(node, other);
  }

  /** `try_to_merge_with_ksm_page`. */
  private mergeInto(node: KsmNode, mm: Mm, vma: Vma, address: number, pfn: number): void {
    const place = { mm, vma, address, pfn };
    if (this.makeSmall(place) && this.writeProtect(place)) this.replace(node, place);
  }

  /**
   * `write_protect_page`: takes the right to write and the exclusiveness away, unless anybody but mappings refers to the
   * page.
   */
  private writeProtect({ mm, address, pfn }: Place): boolean {
    const { frames } = this.memory;
    const table = mm.pageTable.tableOf(regionOf(address));
    const index = indexOf(address);
    const pte = mm.pageTable.flagsAt(regionOf(address), index);
    if ((pte & (PTE_WRITE | PTE_DIRTY)) === 0 && (frames.flags[pfn] & PG_anonExclusive) === 0) return true;
    const swapped = (frames.flags[pfn] & PG_swapcache) !== 0 ? 1 : 0;
    if (frames.refcount[pfn] !== frames.mapcount[pfn] + swapped) return false;
    if ((frames.flags[pfn] & PG_anonExclusive) !== 0 && !folioTryShareAnonRmap(this.memory, pfn)) return false;
    if ((pte & PTE_DIRTY) !== 0) frames.flags[pfn] |= PG_dirty;
    mm.pageTable.set(table, index, pfn, pte & ~(PTE_WRITE | PTE_DIRTY));
    return true;
  }

  /** `replace_page`. */
  private replace(node: KsmNode, { mm, vma, address, pfn }: Place): void {
    const { frames } = this.memory;
    node.add(anonVmaPrepare(this.memory, vma), vma.pageIndexOf(address) | 0);
    const { mechanisms } = this.memory;
    if (mechanisms.on)
      mechanisms.emit(Mechanism.merged, node.pfn, pfn, placeOf(mm, regionOf(address), indexOf(address)));
    frames.get(node.pfn, 1);
    folioAddFileRmapPte(this.memory, node.pfn, vma);
    mlockVmaFolio(this.memory, node.pfn, vma, true);
    const table = mm.pageTable.tableOf(regionOf(address));
    mm.pageTable.set(table, indexOf(address), node.pfn, vmPageProt(vma) & ~PTE_WRITE);
    folioRemoveRmapPte(this.memory, pfn, vma);
    munlockVmaFolio(this.memory, pfn, vma);
    if (frames.mapcount[pfn] === 0) folioFreeSwap(this.memory, pfn);
    frames.put(pfn, 1);
  }

  /** Only small pages are merged: a large folio is split first. False: it cannot be, or the page made way for the zero page. */
  private makeSmall({ mm, address, pfn }: Place): boolean {
    const { frames } = this.memory;
    if (frames.order[pfn] === 0) return true;
    return splitFolio(this.memory, frames.headOf(pfn)) === 0 && this.anonPageAt(mm, address) === pfn;
  }

  /** The frame at an address when it is an anonymous page; 0 otherwise. */
  private anonPageAt(mm: Mm, address: number): number {
    const region = regionOf(address);
    const pte = mm.pageTable.flagsAt(region, indexOf(address));
    if ((pte & PTE_PRESENT) === 0 || (pte & PTE_SPECIAL) !== 0) return 0;
    const pfn = mm.pageTable.frameAt(region, indexOf(address));
    const { frames } = this.memory;
    return (frames.flags[frames.headOf(pfn)] & PG_anon) !== 0 ? pfn : 0;
  }

  private forgetFreed(): void {
    const { frames } = this.memory;
    for (const [sum, nodes] of this.stable) {
      const alive = nodes.filter((node) => frames.mapping[node.pfn] === node.id && frames.refcount[node.pfn] > 0);
      if (alive.length === 0) this.stable.delete(sum);
      else this.stable.set(sum, alive);
    }
  }
}

interface Place {
  readonly mm: Mm;
  readonly vma: Vma;
  readonly address: number;
  readonly pfn: number;
}

/** `vma_ksm_compatible`. */
export function ksmCompatible(vma: Vma): boolean {
  return (vma.flags & (VM_SHARED | VM_PFNMAP | VM_HUGETLB)) === 0;
}

function isMergeable(vma: Vma): boolean {
  return (vma.flags & VM_MERGEABLE) !== 0 && vma.anonVma !== null && ksmCompatible(vma);
}

/** MADV_UNMERGEABLE: every merged page of the range gets a copy of its own, still read-only. `unmerge_ksm_pages`. */
export function unmergeKsmPages(mm: Mm, vma: Vma, start: number, end: number): MaySleep {
  for (let address = start; address < end; address += PAGE_SIZE) {
    const pending = breakKsm(mm, vma, address);
    if (typeof pending !== 'number') {
      return sleeping(mm.memory.world, 'unmerge', () => unmergeSleeping(mm, vma, address, end, pending));
    }
    if (pending < 0) return pending;
  }
  return 0;
}

function* unmergeSleeping(mm: Mm, vma: Vma, from: number, end: number, first: Task<number>) {
  let error = yield* first;
  for (let address = from + PAGE_SIZE; error >= 0 && address < end; address += PAGE_SIZE) {
    const pending = breakKsm(mm, vma, address);
    error = typeof pending === 'number' ? pending : yield* pending;
  }
  return error < 0 ? error : 0;
}

/** `break_ksm`: an unshare fault. */
function breakKsm(mm: Mm, vma: Vma, address: number): MaySleep {
  const region = regionOf(address);
  const pte = mm.pageTable.flagsAt(region, indexOf(address));
  if ((pte & PTE_PRESENT) === 0 || (pte & PTE_SPECIAL) !== 0) return 0;
  const pfn = mm.pageTable.frameAt(region, indexOf(address));
  if ((mm.memory.frames.flags[pfn] & PG_ksm) === 0) return 0;
  return handleMmFault(mm, vma, address, FAULT_UNSHARE);
}
