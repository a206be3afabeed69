/**
 * What the rows of the table `cow` do with their memory, told by the rest of the sentence, and what must come out.
 *
 * Where the sentence tolerates a known failure of the kernel (vmsplice of hugetlb pages) what the kernel really shows is
 * expected: the leak. A private page that is mapped once is taken over by its last user, whoever still refers to it.
 * Source followed: tools/testing/selftests/mm/cow.c (6.18).
 */
import { MADV_COLLAPSE, MADV_DOFORK, MADV_DONTFORK } from '@pincushion/mm';
import { errnoName } from '@pincushion/sim';
import { breakIntoPtes } from './memory-kinds';
import type { PreparedMemory } from './memory-kinds';
import { PIPE_BYTES, SelftestFailure } from './selftest-machine';
import type { Pin, Range, SelftestMachine } from './selftest-machine';

const NEW_BYTE = 0xff;

/** What was seen at the end. */
const OLD_BYTES = 'the old bytes';
const NEW_BYTES = '0xff';

interface CowTest {
  /** The sentence behind the memory it is about. */
  readonly sentence: RegExp;
  run(machine: SelftestMachine, memory: PreparedMemory, sentence: string): string;
}

const TESTS: readonly CowTest[] = [
  {
    sentence:
      /^fork; the child copies the bytes; the parent overwrites all of it with 0xff; the child must still see the old bytes\.$/,
    run: (machine, memory) => cowInParent(machine, memory, false),
  },
  {
    sentence:
      /^fork; the child copies the bytes; the parent makes the range read-only and writable again, then overwrites it with 0xff \(the PTE must not become writable early\); the child must still see the old bytes\.$/,
    run: (machine, memory) => cowInParent(machine, memory, true),
  },
  {
    sentence:
      /^fork; the child copies the bytes, vmsplices the range into a pipe \(read-only FOLL_GET\) and unmaps it; the parent overwrites it with 0xff; the child then reads the pipe and must find the old bytes(?: \(on hugetlb the leak is a known, tolerated failure\))?\.$/,
    run: (machine, memory) => vmspliceInChild(machine, memory, false),
  },
  {
    sentence:
      /^fork; the child vmsplices the range into a pipe and unmaps it; the parent makes it read-only and writable again and overwrites it with 0xff; the bytes read from the pipe must be the old ones(?: \(on hugetlb the leak is a known, tolerated failure\))?\.$/,
    run: (machine, memory) => vmspliceInChild(machine, memory, true),
  },
  {
    sentence:
      /^the parent vmsplices the range into a pipe, then forks; the parent unmaps the range; the child overwrites it with 0xff; the parent reads the pipe and must find the old bytes(?: \(on hugetlb the leak is a known, tolerated failure\))?\.$/,
    run: (machine, memory) => vmspliceInParent(machine, memory, true),
  },
  {
    sentence:
      /^fork; the parent vmsplices the range into a pipe and unmaps it; the child overwrites it with 0xff; the parent reads the pipe and must find the old bytes(?: \(on hugetlb the leak is a known, tolerated failure\))?\.$/,
    run: (machine, memory) => vmspliceInParent(machine, memory, false),
  },
  {
    sentence:
      /^the range is registered as an io_uring fixed buffer \(FOLL_PIN\|FOLL_LONGTERM\|FOLL_WRITE\), made read-only and writable again so that the next write faults, overwritten by the CPU with 0xff, and written to a file through the fixed buffer; the file must contain 0xff \(the write fault must reuse the pinned page, not copy it\)\.$/,
    run: (machine, memory) => fixedBuffer(machine, memory, false),
  },
  {
    sentence:
      /^the range is registered as an io_uring fixed buffer, then a child is forked and kept alive; the parent overwrites the range with 0xff and writes it to a file through the fixed buffer; the file must contain 0xff \(the pinned page must stay with the parent; the child gets a copy at fork\)\.$/,
    run: (machine, memory) => fixedBuffer(machine, memory, true),
  },
  {
    sentence:
      /^a child is forked and kept alive, so the page is shared and mapped read-only; the parent takes a read-only long-term pin \(pin_user_pages(?:_fast)?, FOLL_LONGTERM without FOLL_WRITE\), overwrites the range with 0xff and reads it back through the pin, which must show 0xff \(the pin must unshare the page first\)\.$/,
    run: (machine, memory, sentence) => {
      machine.fork();
      return readOnlyPin(machine, memory, sentence);
    },
  },
  {
    sentence:
      /^a child is forked and exits again, so the page is mapped read-only but no longer shared; the parent takes a read-only long-term pin \(pin_user_pages(?:_fast)?\), overwrites the range with 0xff and reads it through the pin, which must show 0xff\.$/,
    run: (machine, memory, sentence) => {
      machine.exit(machine.fork());
      return readOnlyPin(machine, memory, sentence);
    },
  },
  {
    sentence:
      /^the range is made read-only and writable again, so an exclusive page is mapped read-only; the parent takes a read-only long-term pin \(pin_user_pages(?:_fast)?\), overwrites the range with 0xff and reads it through the pin, which must show 0xff \(the write fault must reuse the page\)\.$/,
    run: (machine, memory, sentence) => {
      machine.readOnlyAndBack(machine.parent, memory.range, true);
      return readOnlyPin(machine, memory, sentence);
    },
  },
  {
    sentence:
      /^the huge page is first PTE-mapped \(one subpage write-protected and back\); it is collapsed again with MADV_COLLAPSE, then a child is forked and copies the bytes; the parent overwrites everything with 0xff; the child must still see the old bytes\.$/,
    run: (machine, { range }) => {
      breakIntoPtes(machine, range);
      machine.advise(machine.parent, range, MADV_COLLAPSE);
      return cowInParent(machine, { range }, false);
    },
  },
  {
    sentence:
      /^the huge page is first PTE-mapped \(one subpage write-protected and back\); a child is forked and copies the bytes; the parent collapses the shared huge page with MADV_COLLAPSE and overwrites it with 0xff; the child must still see the old bytes\.$/,
    run: (machine, { range }) => collapseAfterFork(machine, range, range),
  },
  {
    sentence:
      /^the huge page is first PTE-mapped \(one subpage write-protected and back\); the upper half is MADV_DONTFORK while a child is forked, then allowed again; the parent collapses with MADV_COLLAPSE and overwrites it with 0xff; the child must still see the old bytes of the lower half\.$/,
    run: (machine, { range }) => collapseAfterFork(machine, range, halfOf(range, 0)),
  },
  {
    sentence:
      /^the huge page is first PTE-mapped \(one subpage write-protected and back\); the lower half is MADV_DONTFORK while a child is forked, then allowed again; the parent collapses with MADV_COLLAPSE and overwrites it with 0xff; the child must still see the old bytes of the upper half\.$/,
    run: (machine, { range }) => collapseAfterFork(machine, range, halfOf(range, 1)),
  },
  {
    sentence:
      /^after a read of both mappings the private writable one is overwritten with 0xff; the other mapping must be unchanged\.$/,
    run: (machine, { range, other = range }) => {
      const before = machine.copyOf(machine.parent, other);
      machine.fill(machine.parent, range, NEW_BYTE);
      return seen(machine.copyOf(machine.parent, other), before);
    },
  },
  {
    sentence:
      /^after a read of both mappings a read-only long-term pin is taken on the private mapping \(pin_user_pages(?:_fast)?, FOLL_LONGTERM without FOLL_WRITE\), the private mapping is overwritten with 0xff and read through the pin, which must show 0xff \(the pin must have replaced the shared page by an anonymous copy\)\.$/,
    run: (machine, memory, sentence) => readOnlyPin(machine, memory, sentence),
  },
];

/** The test that the rest of a sentence is, and what must come out of it. Null when it is unknown. */
export function cowTestOf(
  sentence: string,
): { readonly expected: string; run(machine: SelftestMachine, memory: PreparedMemory): string } | null {
  const test = TESTS.find((each) => each.sentence.test(sentence));
  if (test === undefined) return null;
  return {
    expected: expectedBy(sentence),
    run: (machine, memory) => test.run(machine, memory, sentence),
  };
}

/** What the sentence says must be seen. */
function expectedBy(sentence: string): string {
  if (sentence.includes('the leak is a known, tolerated failure')) return NEW_BYTES;
  return /must (?:show|contain) 0xff/.test(sentence) ? NEW_BYTES : OLD_BYTES;
}

// ---- the tests ---------------------------------------------------------------------------------------------------------

/** `do_test_cow_in_parent` with `child_memcmp_fn`. */
function cowInParent(machine: SelftestMachine, { range }: PreparedMemory, protect: boolean): string {
  const child = machine.fork();
  const old = machine.copyOf(child, range);
  if (protect) machine.readOnlyAndBack(machine.parent, range, false);
  machine.fill(machine.parent, range, NEW_BYTE);
  return seen(machine.copyOf(child, range), old);
}

/** `do_test_cow_in_parent` with `child_vmsplice_memcmp_fn`. */
function vmspliceInChild(machine: SelftestMachine, { range }: PreparedMemory, protect: boolean): string {
  const child = machine.fork();
  const old = machine.copyOf(child, inPipe(range));
  const spliced = machine.splice(child, range);
  machine.unmap(child, range);
  if (protect) machine.readOnlyAndBack(machine.parent, range, false);
  machine.fill(machine.parent, range, NEW_BYTE);
  return seen(machine.drain(spliced), old.subarray(0, spliced.bytes));
}

/** `do_test_vmsplice_in_parent`. */
function vmspliceInParent(machine: SelftestMachine, { range }: PreparedMemory, beforeFork: boolean): string {
  const { parent } = machine;
  const old = machine.copyOf(parent, inPipe(range));
  let spliced = beforeFork ? machine.splice(parent, range) : null;
  const child = machine.fork();
  spliced ??= machine.splice(parent, range);
  machine.unmap(parent, range);
  machine.fill(child, range, NEW_BYTE);
  machine.exit(child);
  return seen(machine.drain(spliced), old.subarray(0, spliced.bytes));
}

/** `do_test_iouring`: what a device writes to a file from the registered buffer. */
function fixedBuffer(machine: SelftestMachine, { range }: PreparedMemory, withFork: boolean): string {
  const { parent } = machine;
  const old = machine.copyOf(parent, range);
  const pin = pinned(machine.pin(range, { write: true, fast: true }));
  if (withFork) machine.fork();
  else machine.readOnlyAndBack(parent, range, true);
  machine.fill(parent, range, NEW_BYTE);
  return seen(machine.throughPin(pin), old);
}

/** `do_test_ro_pin`, after the page was made what the sentence says. */
function readOnlyPin(machine: SelftestMachine, { range }: PreparedMemory, sentence: string): string {
  const fast = sentence.includes('pin_user_pages_fast');
  const pin = pinned(machine.pin(range, { write: false, fast }));
  const old = machine.throughPin(pin);
  machine.fill(machine.parent, range, NEW_BYTE);
  return seen(machine.throughPin(pin), old);
}

/** `do_test_anon_thp_collapse`: `shared` is what the child inherits of the huge page. */
function collapseAfterFork(machine: SelftestMachine, range: Range, shared: Range): string {
  const { parent } = machine;
  breakIntoPtes(machine, range);
  for (const half of [halfOf(range, 0), halfOf(range, 1)]) {
    const isInherited = half.start >= shared.start && half.start < shared.start + shared.bytes;
    if (!isInherited) machine.advise(parent, half, MADV_DONTFORK);
  }
  const child = machine.fork();
  const old = machine.copyOf(child, shared);
  machine.advise(parent, range, MADV_DOFORK);
  machine.advise(parent, range, MADV_COLLAPSE);
  machine.fill(parent, range, NEW_BYTE);
  return seen(machine.copyOf(child, shared), old);
}

// ---- small things ------------------------------------------------------------------------------------------------------

function halfOf({ start, bytes }: Range, which: 0 | 1): Range {
  return { start: start + (which * bytes) / 2, bytes: bytes / 2 };
}

/** As much of the range as a pipe has room for. */
function inPipe({ start, bytes }: Range): Range {
  return { start, bytes: Math.min(bytes, PIPE_BYTES) };
}

function pinned(pin: Pin | number): Pin {
  if (typeof pin !== 'number') return pin;
  throw new SelftestFailure(`the pin was refused with ${errnoName(pin)}`);
}

function seen(bytes: Uint8Array, old: Uint8Array): string {
  if (bytes.every((byte, i) => byte === old[i])) return OLD_BYTES;
  if (bytes.every((byte) => byte === NEW_BYTE)) return NEW_BYTES;
  const changed = bytes.reduce((count, byte, i) => (byte === old[i] ? count : count + 1), 0);
  return `${changed} of ${bytes.length} bytes changed`;
}
