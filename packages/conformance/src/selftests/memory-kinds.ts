/**
 * The memory that a row of a self-test table is about: its sentence begins with it ("On a private anonymous … huge page …"),
 * and here is made what it says. Each preparation looks at the page tables afterwards whether the memory is what it should
 * be, as the kernel's tests do, which skip a case otherwise; here the row fails.
 * Source followed: tools/testing/selftests/mm/cow.c `run_with_base_page`, `do_run_with_thp`, `run_with_hugetlb`,
 * `run_with_zeropage`, `run_with_huge_zeropage`, `run_with_memfd`, `run_with_tmpfile` (6.18).
 */
import {
  MADV_DOFORK,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_PAGEOUT,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_HUGE_1GB,
  MAP_HUGE_2MB,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PMD_HUGE,
  PROT_READ,
  PTE_SPECIAL,
  PTE_SWAP,
  REGION_BYTES,
  indexOf,
  regionOf,
} from '@pincushion/mm';
import { SelftestFailure } from './selftest-machine';
import type { Range, SelftestMachine } from './selftest-machine';

/** What the parent finds before the test begins. */
export interface PreparedMemory {
  /** The memory under test. */
  readonly range: Range;
  /** The other mapping of the same content, where the row has one. */
  readonly other?: Range;
}

interface MemoryKind {
  /** The beginning of the sentence, up to and with the colon; the groups are sizes in KiB. */
  readonly sentence: RegExp;
  prepare(machine: SelftestMachine, bytes: readonly number[]): PreparedMemory;
}

/** What the memory is filled with before the test. */
const OLD_BYTE = 1;
const GIB = 2 ** 30;
const ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS;

const KINDS: readonly MemoryKind[] = [
  {
    sentence: /^On one private anonymous 4 KiB page \(huge pages disabled for it\), filled with one byte value: /,
    prepare: (machine) => ({ range: basePage(machine) }),
  },
  {
    sentence: /^On one private anonymous 4 KiB page, filled and then pushed to swap with MADV_PAGEOUT: /,
    prepare: (machine) => swappedOut(machine, basePage(machine)),
  },
  {
    sentence: /^On a private anonymous (\d+) KiB huge page mapped by one PMD: /,
    prepare: (machine, [bytes]) => {
      const range = hugePage(machine, bytes);
      expect(isMappedByPmd(machine, range), 'the huge page is not mapped by a PMD');
      return { range };
    },
  },
  {
    sentence: /^On a private anonymous (\d+) KiB huge page, fully written and then swapped out as a whole: /,
    prepare: (machine, [bytes]) => swappedOut(machine, hugePage(machine, bytes)),
  },
  {
    sentence:
      /^On a private anonymous (\d+) KiB huge page mapped by PTEs \((?:a multi-size huge page, mapped by PTEs from the start|the PMD mapping is first broken into PTEs by write-protecting one subpage and undoing it)\): /,
    prepare: (machine, [bytes]) => ({ range: pteMapped(machine, bytes) }),
  },
  {
    sentence:
      /^On a private anonymous (\d+) KiB huge page mapped by PTEs \((?:a multi-size huge page, mapped by PTEs from the start|the PMD mapping is first broken into PTEs by write-protecting one subpage and undoing it)\), then swapped out: /,
    prepare: (machine, [bytes]) => swappedOut(machine, pteMapped(machine, bytes)),
  },
  {
    sentence:
      /^On the first 4 KiB of a private anonymous (\d+) KiB huge page whose other subpages were dropped with MADV_DONTNEED, so that one PTE maps one subpage of a still large folio: /,
    prepare: (machine, [bytes]) => ({ range: singlePte(machine, bytes) }),
  },
  {
    sentence:
      /^On the first 4 KiB of a private anonymous (\d+) KiB huge page whose other subpages were dropped with MADV_DONTNEED, then swapped out: /,
    prepare: (machine, [bytes]) => swappedOut(machine, singlePte(machine, bytes)),
  },
  {
    sentence:
      /^On the lower half \((\d+) KiB\) of a private anonymous (\d+) KiB huge page whose upper half was moved elsewhere with mremap: /,
    prepare: (machine, [half, bytes]) => ({ range: lowerHalf(machine, half, bytes) }),
  },
  {
    sentence:
      /^On a private anonymous (\d+) KiB huge page of which only the first 4 KiB was ever shared: the rest was MADV_DONTFORK while a child was forked and ended: /,
    prepare: (machine, [bytes]) => ({ range: partlyShared(machine, bytes) }),
  },
  {
    sentence: /^On one private anonymous hugetlb page of (\d+) KiB: /,
    prepare: (machine, [bytes]) => {
      const range = machine.map(bytes, ANONYMOUS | MAP_HUGETLB | (bytes === GIB ? MAP_HUGE_1GB : MAP_HUGE_2MB));
      machine.fill(machine.parent, range, OLD_BYTE);
      return { range };
    },
  },
  {
    sentence: /^On two private anonymous 4 KiB mappings that both map the shared zero page after a read: /,
    prepare: (machine) => {
      const range = machine.map(PAGE_SIZE, ANONYMOUS);
      return bothRead(machine, range, machine.map(PAGE_SIZE, ANONYMOUS));
    },
  },
  {
    sentence: /^On two private anonymous (\d+) KiB mappings that both map the huge zero page after a read: /,
    prepare: (machine, [bytes]) => {
      const range = machine.map(bytes, ANONYMOUS);
      const other = machine.map(bytes, ANONYMOUS);
      machine.wantHugePages(range, bytes);
      machine.advise(machine.parent, other, MADV_HUGEPAGE);
      const prepared = bothRead(machine, range, other);
      expect(isMappedByPmd(machine, range) && (entryAt(machine, range, 0) & PTE_SPECIAL) !== 0, 'no huge zero page');
      return prepared;
    },
  },
  {
    sentence: /^On a private and a shared mapping of one page of a memfd: /,
    prepare: (machine) => {
      const { backing } = machine.file('memfd', PAGE_SIZE);
      return bothRead(machine, machine.map(PAGE_SIZE, MAP_PRIVATE, backing), sharedView(machine, PAGE_SIZE, backing));
    },
  },
  {
    sentence: /^On a private and a shared mapping of one page of a file on ext4: /,
    prepare: (machine) => {
      const { backing } = machine.file('ext4', PAGE_SIZE);
      return bothRead(machine, machine.map(PAGE_SIZE, MAP_PRIVATE, backing), sharedView(machine, PAGE_SIZE, backing));
    },
  },
  {
    sentence: /^On a private and a shared mapping of one page of a hugetlb memfd \((\d+) KiB\): /,
    prepare: (machine, [bytes]) => {
      const { backing } = machine.hugetlbFile(bytes);
      const range = machine.map(bytes, MAP_PRIVATE, backing);
      return bothRead(machine, range, sharedView(machine, bytes, backing));
    },
  },
];

/** The memory a sentence begins with: what to make, and what is left of the sentence. Null when it is unknown. */
export function memoryOf(
  sentence: string,
): { readonly rest: string; readonly largestPage: number; prepare(machine: SelftestMachine): PreparedMemory } | null {
  for (const kind of KINDS) {
    const found = kind.sentence.exec(sentence);
    if (found === null) continue;
    const bytes = found.slice(1).map((kib) => Number(kib) * 1024);
    return {
      rest: sentence.slice(found[0].length),
      largestPage: Math.max(PAGE_SIZE, ...bytes),
      prepare: (machine) => kind.prepare(machine, bytes),
    };
  }
  return null;
}

// ---- how it is made ----------------------------------------------------------------------------------------------------

function basePage(machine: SelftestMachine): Range {
  const range = machine.map(PAGE_SIZE, ANONYMOUS);
  machine.advise(machine.parent, range, MADV_NOHUGEPAGE);
  machine.fill(machine.parent, range, OLD_BYTE);
  return range;
}

/** A large folio of that size, all of it written. */
function hugePage(machine: SelftestMachine, bytes: number): Range {
  const range = machine.map(bytes, ANONYMOUS);
  machine.wantHugePages(range, bytes);
  machine.fill(machine.parent, { start: range.start, bytes: PAGE_SIZE }, OLD_BYTE);
  expect(entryAt(machine, range, bytes / PAGE_SIZE - 1) !== 0, 'the first write did not populate a huge page');
  machine.fill(machine.parent, range, OLD_BYTE);
  return range;
}

function pteMapped(machine: SelftestMachine, bytes: number): Range {
  const range = hugePage(machine, bytes);
  breakIntoPtes(machine, range);
  const { frames } = machine.memory;
  const pfn = machine.parent.pageTable.frameAt(regionOf(range.start), indexOf(range.start));
  expect(PAGE_SIZE << frames.order[pfn] === bytes, 'the folio is not whole any more');
  return range;
}

/** A change of protection of one part breaks a huge mapping. */
export function breakIntoPtes(machine: SelftestMachine, { start }: Range): void {
  machine.readOnlyAndBack(machine.parent, { start: start + PAGE_SIZE, bytes: PAGE_SIZE }, false);
  expect(machine.parent.pageTable.tableOf(regionOf(start)) !== PMD_HUGE, 'the mapping is still a huge one');
}

function singlePte(machine: SelftestMachine, bytes: number): Range {
  const { start } = pteMapped(machine, bytes);
  machine.advise(machine.parent, { start: start + PAGE_SIZE, bytes: bytes - PAGE_SIZE }, MADV_DONTNEED);
  return { start, bytes: PAGE_SIZE };
}

function lowerHalf(machine: SelftestMachine, half: number, bytes: number): Range {
  const { start } = pteMapped(machine, bytes);
  const elsewhere = machine.map(half, ANONYMOUS);
  machine.demand('mremap', machine.parent.mremap(start + half, bytes - half, elsewhere.start));
  return { start, bytes: half };
}

function partlyShared(machine: SelftestMachine, bytes: number): Range {
  const range = pteMapped(machine, bytes);
  const rest = { start: range.start + PAGE_SIZE, bytes: bytes - PAGE_SIZE };
  machine.advise(machine.parent, rest, MADV_DONTFORK);
  machine.exit(machine.fork());
  machine.advise(machine.parent, rest, MADV_DOFORK);
  return range;
}

function swappedOut(machine: SelftestMachine, range: Range): PreparedMemory {
  machine.advise(machine.parent, range, MADV_PAGEOUT);
  for (let i = 0; i < range.bytes / PAGE_SIZE; i++) {
    expect((entryAt(machine, range, i) & PTE_SWAP) !== 0, `page ${i} was not swapped out`);
  }
  return { range };
}

function sharedView(machine: SelftestMachine, bytes: number, backing: Parameters<SelftestMachine['map']>[2]): Range {
  return machine.map(bytes, MAP_SHARED, backing, PROT_READ);
}

function bothRead(machine: SelftestMachine, range: Range, other: Range): PreparedMemory {
  for (const { start } of [range, other]) machine.demand('reading', machine.parent.read(start, new Uint8Array(1)));
  return { range, other };
}

/** The flags of the entry of page `i`. */
function entryAt(machine: SelftestMachine, { start }: Range, i: number): number {
  const address = start + i * PAGE_SIZE;
  return machine.parent.pageTable.flagsAt(regionOf(address), indexOf(address));
}

function isMappedByPmd(machine: SelftestMachine, { start, bytes }: Range): boolean {
  return bytes === REGION_BYTES && machine.parent.pageTable.tableOf(regionOf(start)) === PMD_HUGE;
}

function expect(holds: boolean, otherwise: string): void {
  if (!holds) throw new SelftestFailure(`the memory is not what the row is about: ${otherwise}`);
}
