/** An operation of a recording, said in words. */
import type { OperationArguments, Outcome, Step } from './recording';

type Words = (a: OperationArguments) => string;

const has = (a: OperationArguments, name: string): boolean => Object.hasOwn(a, name);

const arg = (a: OperationArguments, name: string, otherwise = ''): string => String(has(a, name) ? a[name] : otherwise);

/** `A[3]`, `A[3..5]`, `A`. */
function pages(a: OperationArguments): string {
  const region = arg(a, 'r');
  if (!has(a, 'i')) return region;
  const first = Number(a['i']);
  const n = Number(arg(a, 'n', '1'));
  return n <= 1 ? `${region}[${first}]` : `${region}[${first}..${first + n - 1}]`;
}

const plural = (count: string, what: string): string => `${count} ${what}${count === '1' ? '' : 's'}`;

const KINDS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    anon: 'private anonymous memory',
    anonsh: 'shared anonymous memory',
    fpriv: 'a private mapping of file',
    fshared: 'a shared mapping of file',
    hugetlb: 'private hugetlb memory',
    hugetlbsh: 'shared hugetlb memory',
  }),
);

const WORDS: Readonly<Record<string, Words>> = {
  mmap: (a) => {
    const kind = KINDS.get(arg(a, 'kind')) ?? arg(a, 'kind');
    const prot = !has(a, 'prot') ? '' : `, ${arg(a, 'prot')}`;
    const where = !has(a, 'i') ? arg(a, 'r') : `over ${pages(a)}`;
    return `maps ${where}: ${plural(arg(a, 'n', '4'), 'page')} of ${kind}${!has(a, 'f') ? '' : ` ${arg(a, 'f')}`}${prot}`;
  },
  munmap: (a) => `unmaps ${pages(a)}`,
  mprotect: (a) => `protects ${pages(a)}: ${arg(a, 'prot')}`,
  mremap: (a) => `moves ${pages(a)} to ${arg(a, 'to')}${!has(a, 'dontunmap') ? '' : ', leaving the area'}`,
  madvise: (a) => `advises ${pages(a)}: ${arg(a, 'adv')}`,
  msync: (a) => `syncs ${pages(a)}`,
  r: (a) => `reads ${pages(a)}`,
  w: (a) => `writes ${arg(a, 'v', '0')} to ${pages(a)}`,
  fork: (a) => `forks ${arg(a, 'c')}`,
  exit: () => 'exits',
  pin: (a) => `pins ${pages(a)} as ${arg(a, 'id')} (long-term, writable)`,
  unpin: (a) => `unpins ${arg(a, 'id')}`,
  devw: (a) => `lets the device write ${arg(a, 'v', '0')} to page ${arg(a, 'p')} of ${arg(a, 'id')}`,
  devr: (a) => `lets the device read page ${arg(a, 'p')} of ${arg(a, 'id')}`,
  dior: (a) => `reads a file into ${pages(a)} (direct I/O; bytes ${arg(a, 'v', '0')}…)`,
  diow: (a) => `writes ${pages(a)} to a file (direct I/O)`,
  dmain: (a) => `starts a transfer ${arg(a, 'id')} into ${pages(a)}`,
  dmaout: (a) => `starts a transfer ${arg(a, 'id')} out of ${pages(a)}`,
  dmaend: (a) => `the transfer ${arg(a, 'id')} ends${!has(a, 'v') ? '' : `, with byte ${arg(a, 'v')}`}`,
  vmsplice: (a) => `puts ${pages(a)} into pipe ${arg(a, 'id')}${!has(a, 'reps') ? '' : ` ${arg(a, 'reps')} times`}`,
  pincase: (a) => `on Linux ${arg(a, 'kernel')}: ${arg(a, 'name')}`,
  selftest: (a) => `runs a self-test of the kernel: ${arg(a, 'what')}`,
  pipedrain: (a) => `reads pipe ${arg(a, 'id')} empty`,
  pvr: (a) => `reads ${pages(a)} of ${arg(a, 't')} (process_vm_readv)`,
  pvw: (a) => `writes ${arg(a, 'v', '0')} to ${pages(a)} of ${arg(a, 't')} (process_vm_writev)`,
  memr: (a) => `reads ${pages(a)} of ${arg(a, 't')} (/proc/pid/mem)`,
  memw: (a) => `writes ${arg(a, 'v', '0')} to ${pages(a)} of ${arg(a, 't')} (/proc/pid/mem)`,
  file: (a) => `makes file ${arg(a, 'f')} of ${plural(arg(a, 'n', '4'), 'page')} on ${arg(a, 'fs')}`,
  trunc: (a) => `truncates ${arg(a, 'f')} to ${plural(arg(a, 'n', '0'), 'page')}`,
  punch: (a) => `punches a hole into ${arg(a, 'f')}: ${plural(arg(a, 'n'), 'page')} from page ${arg(a, 'i')} on`,
  fsync: (a) => `syncs file ${arg(a, 'f')}`,
  sfr: (a) => `syncs a range of file ${arg(a, 'f')}`,
  fadv: (a) => `needs the cache of ${arg(a, 'f')} no more`,
  fread: (a) => `reads page ${arg(a, 'i')} of file ${arg(a, 'f')}`,
  fwrite: (a) => `writes ${arg(a, 'v', '0')} to page ${arg(a, 'i')} of file ${arg(a, 'f')}`,
  mlock: (a) => `locks ${pages(a)}${!has(a, 'onfault') ? '' : ' as pages come'}`,
  munlock: (a) => `unlocks ${pages(a)}`,
  uffdwp: (a) => `write-protects ${pages(a)} (userfaultfd)`,
  rlimit: (a) => `sets RLIMIT_MEMLOCK to ${arg(a, 'kb')} KiB`,
  dropcap: () => 'gives up CAP_IPC_LOCK',
  dropcaches: () => 'drops the page cache',
  compact: () => 'compacts memory',
  ksm: () => 'lets ksmd scan',
  movepages: (a) => `moves ${pages(a)} to node 0`,
  sleep: () => 'sleeps',
};

/** `P writes 9 to A[0]`. */
export function sentence(step: Step): string {
  const words = WORDS[step.op] as Words | undefined;
  if (words !== undefined) return `${step.by} ${words(step.a)}`;
  const rest = Object.entries(step.a).map(([name, value]) => `${name}=${value}`);
  return [step.by, step.op, ...rest].join(' ');
}

/** `ok`, `EFAULT`, `7, 1 fault`. */
export function outcomeText({ res, x, flt }: Outcome): string {
  const faults = flt === undefined ? [] : [`${flt} fault${flt === 1 ? '' : 's'}`];
  return [String(res), ...(x === undefined ? [] : [x]), ...faults].join(', ');
}
