/**
 * The operations that a scenario written by hand may have: their arguments, in which order they may be given without
 * names, and what they do in a line. Help texts, the parser and the writer of scripts all read this table.
 *
 * Names of operations and arguments are those of the recordings. Left out: the operations that stand for a whole row of a
 * table (`selftest`, `pincase`).
 */

/** What the value of an argument may be. */
type ArgumentKind = 'page' | 'count' | 'byte' | 'number' | 'switch' | 'name' | 'word';

export interface ArgumentRule {
  readonly kind: ArgumentKind;
  /** What a reader is told about it. */
  readonly meaning: string;
  /** The words it may be, for `word`. */
  readonly words?: readonly string[];
}

export interface OperationRule {
  /** Orders of arguments without names; which one is meant is told by how many there are and what they look like. */
  readonly forms: readonly (readonly string[])[];
  /** Arguments that it cannot do without. */
  readonly needs: readonly string[];
  /** Further arguments, only by name: `prot=r`. */
  readonly named?: readonly string[];
  readonly summary: string;
  /** Group in the list of operations. */
  readonly group: OperationGroup;
}

export const OPERATION_GROUPS = [
  'memory',
  'processes',
  'devices',
  'other processes',
  'files',
  'limits',
  'kernel',
] as const;
type OperationGroup = (typeof OPERATION_GROUPS)[number];

const KIND_WORDS: readonly string[] = ['anon', 'anonsh', 'fpriv', 'fshared', 'hugetlb', 'hugetlbsh'];
export const FILE_KINDS: readonly string[] = ['fpriv', 'fshared'];
const ADVICE_WORDS: readonly string[] = [
  'RANDOM',
  'WILLNEED',
  'DONTNEED',
  'FREE',
  'REMOVE',
  'DONTFORK',
  'DOFORK',
  'MERGEABLE',
  'UNMERGEABLE',
  'HUGEPAGE',
  'NOHUGEPAGE',
  'WIPEONFORK',
  'KEEPONFORK',
  'COLD',
  'PAGEOUT',
  'POPULATE_READ',
  'POPULATE_WRITE',
  'DONTNEED_LOCKED',
  'COLLAPSE',
  'GUARD_INSTALL',
  'GUARD_REMOVE',
];
const PROTECTION_WORDS: readonly string[] = ['none', 'r', 'w', 'rw', 'rx', 'rwx'];

/** What each argument means; the same in all operations. */
export const ARGUMENTS: Readonly<Record<string, ArgumentRule>> = {
  r: { kind: 'name', meaning: 'region' },
  i: { kind: 'page', meaning: 'first page, from 0' },
  n: { kind: 'count', meaning: 'number of pages' },
  v: { kind: 'byte', meaning: 'byte, 0 to 255' },
  kind: { kind: 'word', meaning: 'kind of memory', words: KIND_WORDS },
  prot: { kind: 'word', meaning: 'protection', words: PROTECTION_WORDS },
  adv: { kind: 'word', meaning: 'advice, MADV_*', words: ADVICE_WORDS },
  f: { kind: 'name', meaning: 'file' },
  fs: { kind: 'word', meaning: 'file system', words: ['ext4', 'tmpfs', 'memfd', 'hugetlb'] },
  off: { kind: 'page', meaning: 'page of the file to begin at' },
  to: { kind: 'name', meaning: 'new region' },
  c: { kind: 'name', meaning: 'child process' },
  t: { kind: 'name', meaning: 'other process' },
  id: { kind: 'name', meaning: 'name for the buffer, transfer or pipe' },
  p: { kind: 'page', meaning: 'page of the buffer, from 0' },
  bytes: { kind: 'number', meaning: 'length in bytes instead of pages' },
  boff: { kind: 'number', meaning: 'offset in bytes' },
  reps: { kind: 'number', meaning: 'times' },
  gift: { kind: 'switch', meaning: 'SPLICE_F_GIFT' },
  hole: { kind: 'switch', meaning: 'only the length, no content' },
  cold: { kind: 'switch', meaning: 'dropped from the page cache' },
  locked: { kind: 'switch', meaning: 'MAP_LOCKED' },
  populate: { kind: 'switch', meaning: 'MAP_POPULATE' },
  dontunmap: { kind: 'switch', meaning: 'MREMAP_DONTUNMAP' },
  onfault: { kind: 'switch', meaning: 'MLOCK_ONFAULT' },
  clear: { kind: 'switch', meaning: 'take the protection away again' },
  mode: { kind: 'number', meaning: '1 page cache, 2 kernel objects, 3 both' },
  kb: { kind: 'number', meaning: 'KiB' },
  ms: { kind: 'number', meaning: 'milliseconds' },
};

const RANGE = ['r', 'i', 'n'] as const;

/** Every operation by its name, in the order of the help. */
export const OPERATIONS: Readonly<Record<string, OperationRule>> = {
  mmap: {
    group: 'memory',
    forms: [
      ['r', 'kind', 'n'],
      ['r', 'kind', 'n', 'prot'],
      ['r', 'kind', 'f', 'n'],
      ['r', 'kind', 'f', 'n', 'prot'],
      ['r', 'kind', 'i', 'n'],
      ['r', 'kind'],
    ],
    needs: ['r', 'kind'],
    named: ['off', 'locked', 'populate'],
    summary: 'maps a new region, or pages i to i+n-1 of one over what is there; file kinds need a file',
  },
  munmap: { group: 'memory', forms: [['r'], RANGE], needs: ['r'], summary: 'unmaps a region, or some pages of it' },
  mprotect: {
    group: 'memory',
    forms: [
      ['r', 'prot'],
      ['r', 'i', 'n', 'prot'],
    ],
    needs: ['r', 'prot'],
    summary: 'changes the protection',
  },
  mremap: {
    group: 'memory',
    forms: [
      ['r', 'to'],
      ['r', 'i', 'n', 'to'],
    ],
    needs: ['r', 'to'],
    named: ['dontunmap'],
    summary: 'moves pages to a new region',
  },
  madvise: {
    group: 'memory',
    forms: [
      ['r', 'adv'],
      ['r', 'i', 'n', 'adv'],
    ],
    needs: ['r', 'adv'],
    summary: 'gives an advice: DONTNEED, PAGEOUT, FREE, HUGEPAGE, COLLAPSE, …',
  },
  mlock: {
    group: 'memory',
    forms: [['r'], RANGE],
    needs: ['r'],
    named: ['onfault'],
    summary: 'brings pages in and keeps them in memory (no pin)',
  },
  munlock: { group: 'memory', forms: [['r'], RANGE], needs: ['r'], summary: 'ends mlock' },
  uffdwp: {
    group: 'memory',
    forms: [['r'], RANGE],
    needs: ['r'],
    named: ['clear'],
    summary: 'write-protects pages by userfaultfd',
  },
  r: { group: 'processes', forms: [['r', 'i']], needs: ['r', 'i'], summary: 'loads the first byte of page i' },
  w: {
    group: 'processes',
    forms: [
      ['r', 'i'],
      ['r', 'i', 'v'],
    ],
    needs: ['r', 'i'],
    summary: 'stores byte v at the beginning of page i',
  },
  fork: { group: 'processes', forms: [['c']], needs: ['c'], summary: 'forks; the child is called c, as in C1' },
  exit: { group: 'processes', forms: [[]], needs: [], summary: 'ends; devices may still hold its pages' },
  pin: {
    group: 'devices',
    forms: [
      ['id', 'r', 'i'],
      ['id', ...RANGE],
      ['id', 'r'],
    ],
    needs: ['id', 'r'],
    named: ['bytes', 'boff'],
    summary: 'registers pages as a buffer for a device (io_uring): FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM',
  },
  unpin: { group: 'devices', forms: [['id']], needs: ['id'], summary: 'unregisters the buffer' },
  devw: {
    group: 'devices',
    forms: [
      ['id', 'p'],
      ['id', 'p', 'v'],
    ],
    needs: ['id', 'p'],
    summary: 'the device fills page p of the buffer with byte v: no page table, no fault',
  },
  devr: {
    group: 'devices',
    forms: [['id', 'p']],
    needs: ['id', 'p'],
    summary: 'the device reads page p of the buffer',
  },
  dior: {
    group: 'devices',
    forms: [['r', 'i'], RANGE, [...RANGE, 'v']],
    needs: ['r', 'i'],
    summary: 'direct I/O read of a file into memory: page k gets byte v+k; a short pin',
  },
  diow: {
    group: 'devices',
    forms: [['r', 'i'], RANGE],
    needs: ['r', 'i'],
    summary: 'direct I/O write of memory to a file; gives the first byte seen; a short, read-only pin',
  },
  dmain: {
    group: 'devices',
    forms: [
      ['id', 'r', 'i'],
      ['id', ...RANGE],
    ],
    needs: ['id', 'r', 'i'],
    summary: 'a transfer into memory starts and stays in flight until dmaend',
  },
  dmaout: {
    group: 'devices',
    forms: [
      ['id', 'r', 'i'],
      ['id', ...RANGE],
    ],
    needs: ['id', 'r', 'i'],
    summary: 'a transfer out of memory starts and stays in flight; gives the first byte seen',
  },
  dmaend: {
    group: 'devices',
    forms: [['id'], ['id', 'v']],
    needs: ['id'],
    summary: 'the transfer ends; one into memory stores byte v in all its pages',
  },
  vmsplice: {
    group: 'devices',
    forms: [
      ['id', 'r', 'i'],
      ['id', ...RANGE],
    ],
    needs: ['id', 'r', 'i'],
    named: ['gift', 'reps'],
    summary: 'puts pages into a pipe: plain references (FOLL_GET)',
  },
  pipedrain: { group: 'devices', forms: [['id']], needs: ['id'], summary: 'reads the pipe empty' },
  pvr: {
    group: 'other processes',
    forms: [['t', 'r', 'i']],
    needs: ['t', 'r', 'i'],
    summary: 'process_vm_readv of a page of process t',
  },
  pvw: {
    group: 'other processes',
    forms: [
      ['t', 'r', 'i'],
      ['t', 'r', 'i', 'v'],
    ],
    needs: ['t', 'r', 'i'],
    summary: 'process_vm_writev to a page of process t',
  },
  memr: {
    group: 'other processes',
    forms: [['t', 'r', 'i']],
    needs: ['t', 'r', 'i'],
    summary: 'reads /proc/pid/mem of process t (FOLL_FORCE)',
  },
  memw: {
    group: 'other processes',
    forms: [
      ['t', 'r', 'i'],
      ['t', 'r', 'i', 'v'],
    ],
    needs: ['t', 'r', 'i'],
    summary: 'writes /proc/pid/mem of process t (FOLL_FORCE)',
  },
  file: {
    group: 'files',
    forms: [
      ['f', 'fs', 'n'],
      ['f', 'fs', 'n', 'v'],
    ],
    needs: ['f', 'fs', 'n'],
    named: ['hole', 'cold'],
    summary: 'makes a file of n pages; page k is full of byte v+k, clean, in the page cache',
  },
  trunc: { group: 'files', forms: [['f', 'n']], needs: ['f', 'n'], summary: 'truncates the file to n pages' },
  punch: { group: 'files', forms: [['f', 'i', 'n']], needs: ['f', 'i', 'n'], summary: 'punches a hole into the file' },
  fsync: { group: 'files', forms: [['f']], needs: ['f'], summary: 'writes the file back' },
  sfr: { group: 'files', forms: [['f']], needs: ['f'], summary: 'sync_file_range of the whole file' },
  fadv: {
    group: 'files',
    forms: [['f']],
    needs: ['f'],
    summary: 'drops the file from the page cache (POSIX_FADV_DONTNEED)',
  },
  fread: { group: 'files', forms: [['f', 'i']], needs: ['f', 'i'], summary: 'read() of the first byte of page i' },
  fwrite: {
    group: 'files',
    forms: [
      ['f', 'i'],
      ['f', 'i', 'v'],
    ],
    needs: ['f', 'i'],
    summary: 'write() of page i, full of byte v',
  },
  msync: { group: 'files', forms: [['r'], RANGE], needs: ['r'], summary: 'msync(MS_SYNC)' },
  rlimit: { group: 'limits', forms: [['kb']], needs: ['kb'], summary: 'sets RLIMIT_MEMLOCK' },
  dropcap: {
    group: 'limits',
    forms: [[]],
    needs: [],
    summary: 'gives up CAP_IPC_LOCK: from now on the limit counts, and what the user is charged is shown',
  },
  dropcaches: { group: 'kernel', forms: [[], ['mode']], needs: [], summary: '/proc/sys/vm/drop_caches' },
  compact: { group: 'kernel', forms: [[]], needs: [], summary: 'compacts memory: moves movable pages' },
  ksm: { group: 'kernel', forms: [[]], needs: [], summary: 'lets ksmd merge what is MERGEABLE (four full scans)' },
  movepages: {
    group: 'kernel',
    forms: [['r', 'i'], RANGE],
    needs: ['r', 'i'],
    summary: 'move_pages to node 0, the only one',
  },
  sleep: { group: 'kernel', forms: [[], ['ms']], needs: [], summary: 'waits' },
};

/** Every argument an operation may have, in the order in which a script writes them. */
export function argumentsOf(rule: OperationRule): readonly string[] {
  return [...new Set([...rule.needs, ...rule.forms.flat(), ...(rule.named ?? [])])];
}

/** `pin id r [i] [n] [bytes= boff=]`. */
export function signature(op: string): string {
  const rule = OPERATIONS[op];
  const longest = rule.forms.reduce((best, form) => (form.length > best.length ? form : best), []);
  const shown = longest.map((name) => (rule.needs.includes(name) ? name : `[${name}]`));
  const named = (rule.named ?? []).map((name) => `${name}=`);
  return [op, ...shown, ...(named.length === 0 ? [] : [`[${named.join(' ')}]`])].join(' ');
}
