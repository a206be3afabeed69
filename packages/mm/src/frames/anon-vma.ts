/**
 * Who may map an anonymous page: the areas that the area of its first fault has become by splits, moves and forks.
 *
 * Each area that ever had an anonymous page has an `AnonVma`, where its new pages are entered (`FrameTable.mapping`). A
 * forked area gets one of its own and is also entered in all those of its parent, since it maps the parent's pages. So a
 * page's `AnonVma` names a small set of areas, and each of them says at which address the page could be.
 * Left out: reuse of an emptied parent's `anon_vma`, the lock of the tree (nothing yields while it is walked).
 * Source followed: mm/rmap.c `__anon_vma_prepare`, `anon_vma_clone`, `anon_vma_fork`, `unlink_anon_vmas` (6.18).
 */
import type { Memory } from '../memory';
import type { Vma } from '../process/vma';

export class AnonVma {
  /** What `FrameTable.mapping` of its pages says. */
  readonly id: number;
  /** Areas that may map pages entered here. */
  readonly vmas = new Set<Vma>();

  /** `name`: the process, for reports. */
  constructor(
    memory: Memory,
    readonly name: string,
  ) {
    this.id = memory.addOwner(this);
  }
}

/** Gives an area its `AnonVma` before its first anonymous page: its neighbour's where they could merge, else a new one. */
export function anonVmaPrepare(memory: Memory, vma: Vma): AnonVma {
  if (vma.anonVma !== null) return vma.anonVma;
  const anon = neighbours(vma) ?? new AnonVma(memory, vma.mm?.name ?? 'nobody');
  link(vma, anon);
  vma.anonVma = anon;
  return anon;
}

/** `dst` is a part of `src`, or `src` moved elsewhere: it may map the same pages. */
export function anonVmaClone(dst: Vma, src: Vma): void {
  for (const anon of src.anonChain) link(dst, anon);
  dst.anonVma = src.anonVma;
}

/** `child` is the copy of `parent` in a forked process. */
export function anonVmaFork(memory: Memory, child: Vma, parent: Vma): void {
  if (parent.anonVma === null) return;
  for (const anon of parent.anonChain) link(child, anon);
  child.anonVma = new AnonVma(memory, child.mm?.name ?? 'nobody');
  link(child, child.anonVma);
}

/** The area is gone, or has become part of another. */
export function unlinkAnonVmas(vma: Vma): void {
  for (const anon of vma.anonChain) anon.vmas.delete(vma);
  vma.anonChain.length = 0;
  vma.anonVma = null;
}

function link(vma: Vma, anon: AnonVma): void {
  if (vma.anonChain.includes(anon)) return;
  vma.anonChain.push(anon);
  anon.vmas.add(vma);
}

/** `find_mergeable_anon_vma`. */
function neighbours(vma: Vma): AnonVma | null {
  const areas = vma.mm?.vmas;
  if (areas === undefined || vma.backing !== null) return null;
  for (const other of [areas.lookup(vma.end), areas.lookup(vma.start - 1)]) {
    if (other === null || other.backing !== null || other.anonVma === null || other.anonChain.length !== 1) continue;
    if (other.pageIndexOf(vma.start) === vma.pageOffset) return other.anonVma;
  }
  return null;
}
