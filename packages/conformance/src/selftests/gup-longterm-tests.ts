/**
 * What the rows of the table `gup_longterm` do: a long-term pin of one page of a file, which works or is refused.
 *
 * Source followed: tools/testing/selftests/mm/gup_longterm.c `do_test` (6.18).
 */
import { MAP_PRIVATE, MAP_SHARED, PAGE_SIZE, PROT_READ } from '@pincushion/mm';
import type { MappableFile } from '@pincushion/mm';
import { errnoName } from '@pincushion/sim';
import type { SelftestMachine } from './selftest-machine';

const PINNED = 'pinned';

const FILE =
  /^(?:One page of (?<file>a memfd \(tmpfs\)|an unlinked file on ext4|a file in the working directory on ext4)|One hugetlb page \((?<kib>\d+) KiB\) of a memfd)/;
const MAPPING = /^, mapped (?<kind>shared|private) and writable and written once(?<readOnly>, then made read-only)?: /;
const PIN =
  /^(?:a (?<how>writable|read-only) long-term pin with (?<call>pin_user_pages(?:_fast)?)|registering it as an io_uring fixed buffer \(FOLL_PIN\|FOLL_LONGTERM\|FOLL_WRITE\)) must (?:succeed|fail with (?<errno>E[A-Z]+) \(the file system needs to be told about writes\))\.$/;

/** The test that a sentence is, and what must come out of it. Null when it is unknown. */
export function longtermTestOf(
  sentence: string,
): { readonly expected: string; readonly largestPage: number; run(machine: SelftestMachine): string } | null {
  const file = FILE.exec(sentence);
  const mapping = file === null ? null : MAPPING.exec(sentence.slice(file[0].length));
  if (file === null || mapping === null) return null;
  const pin = PIN.exec(sentence.slice(file[0].length + mapping[0].length));
  if (pin === null) return null;
  const hugeBytes = Number(groupOf(file, 'kib') ?? 0) * 1024;
  const bytes = hugeBytes === 0 ? PAGE_SIZE : hugeBytes;
  return {
    expected: groupOf(pin, 'errno') ?? PINNED,
    largestPage: bytes,
    run: (machine) => {
      const flags = groupOf(mapping, 'kind') === 'shared' ? MAP_SHARED : MAP_PRIVATE;
      const range = machine.map(bytes, flags, open(machine, groupOf(file, 'file'), bytes).backing);
      machine.fill(machine.parent, range, 0);
      if (groupOf(mapping, 'readOnly') !== undefined) machine.protect(machine.parent, range, PROT_READ);
      const write = groupOf(pin, 'how') !== 'read-only';
      const fast = groupOf(pin, 'call') !== 'pin_user_pages';
      const pinned = machine.pin(range, { write, fast });
      return typeof pinned === 'number' ? errnoName(pinned) : PINNED;
    },
  };
}

function open(machine: SelftestMachine, file: string | undefined, bytes: number): MappableFile {
  if (file === undefined) return machine.hugetlbFile(bytes);
  return machine.file(file.includes('memfd') ? 'memfd' : 'ext4', bytes);
}

function groupOf(match: RegExpExecArray, name: string): string | undefined {
  return match.groups?.[name];
}
