/**
 * Whether content stays where it belongs: what a process sees in its private memory changes by its own doing only.
 *
 * After each step every page of every process is read as the page tables say it, without touching anything. A byte of
 * private anonymous memory may differ from the step before only for the process that acted, in the pages that the step
 * named; for the process that another one wrote to; or for the process whose buffer a device wrote to. So data that leaks
 * over a fork, a copy that is not made, or a page that changes hands too early is seen at once, whatever the counts say.
 * Pages that are not mapped (swapped out, given up) are not looked at until they are again; then they must show what they
 * did before, unless their process asked to lose them.
 * Left out: mappings of files, shared memory, and whether what a device wrote arrives at all.
 */
import {
  PG_anon,
  PG_ksm,
  PMD_HUGE,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_SWAP,
  VM_MAYSHARE,
  indexOf,
  regionOf,
} from '@pincushion/mm';
import type { Mm } from '@pincushion/mm';
import type { ScriptStep } from '../script/script';
import type { Actor, ScenarioMachine } from '../scenario-machine';

const PAGE = 4096;
const PAGES_PER_REGION = 512;
/** Pages of a region that are looked at. */
const WATCHED_PAGES = 1024;
/** Operations after which pages of the acting process may show something else, in the range the step names. */
const CHANGES_OWN = ['w', 'dior', 'mmap', 'munmap', 'mremap', 'madvise'];
/** Whose content may be lost at any later time. */
const LOSES_LATER = ['FREE'];

/** What a process saw in its private memory: bytes by page number. */
type Seen = Map<number, number>;

interface Buffer {
  readonly process: Actor;
  readonly first: number;
  readonly pages: number;
}

export class ContentWatch {
  private readonly seen = new Map<string, Seen>();
  private readonly buffers = new Map<string, Buffer>();
  /** Pages that may come back empty, by process. */
  private readonly lazy = new Map<string, Set<number>>();
  private readonly byte = new Uint8Array(1);

  constructor(private readonly machine: ScenarioMachine) {}

  /** What the step should not have changed, as a sentence; else null. `res`: what the step gave. */
  after(step: ScriptStep, res: string | number): string | null {
    const { by, op, a } = step;
    const range = this.rangeOf(step);
    if (['pin', 'dmain', 'dmaout'].includes(op) && range !== null) this.remember(step, range);
    if (op === 'fork') this.inherit(by, String(a['c']));
    if (op === 'madvise' && range !== null && LOSES_LATER.includes(String(a['adv']))) this.mayLose(by, range);
    for (const process of this.machine.processes) {
      if (!process.alive) continue;
      const wrong = this.look(process, step, range, res);
      if (wrong !== null) return wrong;
    }
    return null;
  }

  /** Page numbers [first, end) that the step names. */
  private rangeOf({ op, a }: ScriptStep): [first: number, end: number] | null {
    const region = this.machine.region(String(a['r']));
    if (region === null) return null;
    const base = region.base / PAGE;
    if (!Object.hasOwn(a, 'i')) return [base, base + region.pages];
    const i = Number(a['i']);
    const isOne = op === 'w' || op === 'pvw' || op === 'memw';
    const n = isOne ? 1 : Number(Object.hasOwn(a, 'n') ? a['n'] : 1);
    return [base + i, base + i + n];
  }

  private remember({ by, op, a }: ScriptStep, [first, end]: [number, number]): void {
    const process = this.machine.process(by);
    if (process !== null)
      this.buffers.set(`${op === 'pin' ? 'pin' : 'transfer'} ${a['id']}`, { process, first, pages: end - first });
  }

  private inherit(parent: string, child: string): void {
    const seen = this.seen.get(parent);
    if (seen !== undefined) this.seen.set(child, seen);
    const lazy = this.lazy.get(parent);
    if (lazy !== undefined) this.lazy.set(child, new Set(lazy));
  }

  private mayLose(by: string, [first, end]: [number, number]): void {
    const lazy = this.lazy.get(by) ?? new Set<number>();
    // A large folio is given up as one.
    for (let page = first - (first % PAGES_PER_REGION); page < end + PAGES_PER_REGION; page++) lazy.add(page);
    this.lazy.set(by, lazy);
  }

  private look(
    process: Actor,
    step: ScriptStep,
    range: readonly [number, number] | null,
    res: string | number,
  ): string | null {
    const before = this.seen.get(process.name);
    const now: Seen = new Map();
    this.seen.set(process.name, now);
    for (const region of this.machine.regions) {
      const first = region.base / PAGE;
      const end = first + Math.min(region.pages, WATCHED_PAGES);
      for (let page = first; page < end; page++) {
        const byte = this.byteAt(process.mm, page);
        const known = before?.get(page);
        if (byte === null) {
          // In swap: the content is to come back.
          if (known !== undefined && this.isSwapped(process.mm, page)) now.set(page, known);
          continue;
        }
        now.set(page, byte);
        if (known === undefined || known === byte) continue;
        if (this.mayChange(process, page, step, range)) continue;
        if (byte === 0 && this.lazy.get(process.name)?.has(page) === true) continue;
        return `${process.name} sees ${byte} in ${region.name}[${page - first}], where it saw ${known}, after a step that gave ${res}`;
      }
    }
    return null;
  }

  private mayChange(process: Actor, page: number, step: ScriptStep, range: readonly [number, number] | null): boolean {
    const { by, op, a } = step;
    const isInRange = range !== null && page >= range[0] && page < range[1];
    if (CHANGES_OWN.includes(op)) return process.name === by && isInRange;
    if (op === 'pvw' || op === 'memw') return process.name === String(a['t']) && isInRange;
    if (op !== 'devw' && op !== 'dmaend') return op === 'trunc' || op === 'punch';
    const buffer = this.buffers.get(`${op === 'devw' ? 'pin' : 'transfer'} ${a['id']}`);
    return buffer?.process === process;
  }

  /** The first byte of a page that is mapped and no page of a file; else null. */
  private byteAt(mm: Mm, page: number): number | null {
    const { frames, bytes } = this.machine.memory;
    const address = page * PAGE;
    const region = regionOf(address);
    const pte = mm.pageTable.flagsAt(region, indexOf(address));
    if ((pte & PTE_PRESENT) === 0) return null;
    const vma = mm.vmas.lookup(address);
    if (vma === null || (vma.flags & VM_MAYSHARE) !== 0) return null;
    const pfn = mm.pageTable.frameAt(region, indexOf(address));
    const isOwn = (frames.flags[frames.headOf(pfn)] & (PG_anon | PG_ksm)) !== 0;
    if (!isOwn && (pte & PTE_SPECIAL) === 0) return null;
    bytes.read(pfn, 0, this.byte, 0, 1);
    return this.byte[0];
  }

  private isSwapped(mm: Mm, page: number): boolean {
    const address = page * PAGE;
    const region = regionOf(address);
    const isTable = mm.pageTable.tableOf(region) !== PMD_HUGE;
    return isTable && (mm.pageTable.flagsAt(region, indexOf(address)) & PTE_SWAP) !== 0;
  }
}
