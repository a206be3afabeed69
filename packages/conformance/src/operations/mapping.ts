/** mmap, munmap, mprotect, mremap, madvise: the system calls on areas. */
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '@pincushion/mm';
import { UnknownArgument, PAGE } from '../operation';
import type { Call, Operation } from '../operation';
import { fileNamed } from './files';

/** `prot=rw`, `r`, `none`; read and write when not given. */
function protectionOf(call: Call): number {
  if (!call.has('prot')) return PROT_READ | PROT_WRITE;
  const text = call.text('prot');
  if (text === 'none') return 0;
  let prot = 0;
  if (text.includes('r')) prot |= PROT_READ;
  if (text.includes('w')) prot |= PROT_WRITE;
  if (text.includes('x')) prot |= PROT_EXEC;
  return prot;
}

/** MADV_* by the names of the recordings; the numbers are the kernel's. */
const ADVICES: Readonly<Record<string, number>> = {
  RANDOM: 1,
  WILLNEED: 3,
  DONTNEED: 4,
  FREE: 8,
  REMOVE: 9,
  DONTFORK: 10,
  DOFORK: 11,
  MERGEABLE: 12,
  UNMERGEABLE: 13,
  HUGEPAGE: 14,
  NOHUGEPAGE: 15,
  WIPEONFORK: 18,
  KEEPONFORK: 19,
  COLD: 20,
  PAGEOUT: 21,
  POPULATE_READ: 22,
  POPULATE_WRITE: 23,
  DONTNEED_LOCKED: 24,
  COLLAPSE: 25,
  SOFT_OFFLINE: 101,
  GUARD_INSTALL: 102,
  GUARD_REMOVE: 103,
};

/** MAP_* flags of the kinds that need no file. */
const KINDS: Readonly<Record<string, number>> = {
  anon: MAP_PRIVATE | MAP_ANONYMOUS,
  anonsh: MAP_SHARED | MAP_ANONYMOUS,
  hugetlb: MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
  hugetlbsh: MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB,
  fpriv: MAP_PRIVATE,
  fshared: MAP_SHARED,
};

const mmap: Operation = (machine, by, call) => {
  const known = call.region;
  const region = known ?? machine.addRegion(call.text('r'), call.number('n', 4));
  const address = known === null ? region.base : call.address;
  const length = known === null ? region.pages * PAGE : call.length;
  const kind = KINDS[call.text('kind')] as number | undefined;
  if (kind === undefined) throw new UnknownArgument(`kind of memory ${call.text('kind')}`);
  let flags = MAP_FIXED | kind;
  if (call.number('locked', 0) !== 0) flags |= MAP_LOCKED;
  if (call.number('populate', 0) !== 0) flags |= MAP_POPULATE;
  const prot = protectionOf(call);
  if ((kind & MAP_ANONYMOUS) !== 0) return machine.ok(by.mm.mmap(length, prot, flags, address));
  const file = fileNamed(machine, by, call.text('f'));
  if (file === null) return { res: 'EBADF' };
  return machine.ok(by.mm.mmap(length, prot, flags, address, file.backing, call.number('off', 0)));
};

const mremap: Operation = (machine, by, call) => {
  const { address, length } = call;
  const target = machine.addRegion(call.text('to'), length / PAGE);
  const dontUnmap = call.number('dontunmap', 0) !== 0;
  return machine.ok(by.mm.mremap(address, length, target.base, { dontUnmap }));
};

export const mappingOperations: Readonly<Record<string, Operation>> = {
  mmap,
  mremap,
  munmap: (machine, by, call) => machine.ok(by.mm.munmap(call.address, call.length)),
  mprotect: (machine, by, call) => machine.ok(by.mm.mprotect(call.address, call.length, protectionOf(call))),
  madvise: (machine, by, call) => {
    const advice = ADVICES[call.text('adv')] as number | undefined;
    return advice === undefined ? { res: 'ENOSYS' } : machine.ok(by.mm.madvise(call.address, call.length, advice));
  },
};
