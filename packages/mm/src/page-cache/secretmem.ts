/**
 * Secret memory (memfd_secret): pages that only the processes mapping them can see, not even the kernel.
 *
 * A file whose pages are out of the kernel's own map, so nothing may take them out of the page table: GUP refuses the area
 * (V-05) and, without knowing the area, the page. Mappings are shared and locked, charged like mlock, and munlock does
 * not undo it; pages never leave memory.
 * Left out: the kernel's own map itself (nothing else here reads user pages by it).
 * Source followed: mm/secretmem.c (6.18).
 */
import { EAGAIN, EFAULT, EINVAL } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { mlockFutureOk } from '../process/accounting';
import { AddressSpace } from './address-space';
import { PG_secretmem, PG_uptodate } from '../frames/frames';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { addNewFolio, findFolio } from './page-cache';
import { PAGE_SIZE } from '../frames/page-size';
import { truncatePagecache } from './truncate';
import { VM_DONTDUMP, VM_LOCKED, VM_MAYSHARE, VM_SHARED } from '../process/vma-flags';
import type { Vma, VmaBacking } from '../process/vma';
import { Gfp } from '../frames/zone';

export class SecretMemory implements VmaBacking {
  readonly secret = true;
  readonly mapping: AddressSpace;
  /** Areas that map it, and whoever has it open. */
  private uses = 1;

  /** A new empty file, open once: `release` when it is closed. */
  constructor(
    private readonly memory: Memory,
    readonly name = 'secret memory',
  ) {
    this.mapping = new AddressSpace(memory, name, { size: 0 }, { readFolio: () => -EINVAL }, false);
    this.mapping.unevictable = true;
  }

  /** ftruncate(2): gives the file its size, once. 0 or -EINVAL. */
  truncate(size: number): number {
    if (this.mapping.host.size !== 0 || !(size >= 0)) return -EINVAL;
    this.mapping.host.size = size;
    return 0;
  }

  /** `secretmem_mmap`: 0; -EINVAL: not shared; -EAGAIN: above RLIMIT_MEMLOCK. */
  mmap(vma: Vma, mm: Mm): number {
    if ((vma.flags & (VM_SHARED | VM_MAYSHARE)) === 0) return -EINVAL;
    if (!mlockFutureOk(mm, (vma.end - vma.start) / PAGE_SIZE)) return -EAGAIN;
    vma.flags |= VM_LOCKED | VM_DONTDUMP;
    return 0;
  }

  /** `secretmem_fault`: the frame, made when there is none; -EFAULT (SIGBUS) behind the end, -ENOMEM. */
  fault(_vma: Vma, pageIndex: number): MaySleep {
    if (pageIndex * PAGE_SIZE >= this.mapping.host.size) return -EFAULT;
    const known = findFolio(this.mapping, pageIndex);
    if (known !== 0) return known;
    const head = addNewFolio(this.mapping, pageIndex, Gfp.kernel);
    if (head >= 0) this.memory.frames.flags[head] |= PG_secretmem | PG_uptodate;
    return head;
  }

  open(): undefined {
    this.uses++;
    return undefined;
  }

  close(): undefined {
    if (--this.uses === 0) truncatePagecache(this.mapping, 0);
    return undefined;
  }

  /** The file descriptor is closed. The last use takes the pages with it. */
  release(): void {
    this.close();
  }
}
