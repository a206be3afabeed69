/**
 * Protection keys: sixteen colours of memory, and a register (PKRU) that says what the process may do with each.
 *
 * An area has a key, and so have its entries. The processor looks at the key of the entry at each load and store, the
 * kernel's own loads and stores of user memory included; get_user_pages asks as the processor would (V-09), but on the
 * memory of another process it does not. Changing PKRU is no system call and needs no flush.
 * Errors and what a denied key does to pins, mlock, MADV_POPULATE_* and core dumps were compared with a running 6.18.
 * PKRU is a register of a thread; here all tasks of a process share one. Left out: signal handlers, which begin with the
 * first value of PKRU; instruction fetches, which no key stops.
 * Source followed: arch/x86/mm/pkeys.c, arch/x86/include/asm/pkeys.h, mm/mprotect.c `pkey_alloc`, `pkey_free` (6.18).
 */
import { EINVAL, ENOSPC } from '@pincushion/sim';
import { VM_EXEC, VM_READ, VM_WRITE, vmaPkey } from './vma-flags';

/** What `pkeyAlloc` may deny for a start. */
export const PKEY_DISABLE_ACCESS = 1;
export const PKEY_DISABLE_WRITE = 2;

const KEYS = 16;
/** Key 0 is there from the beginning, and on everything that was given no other. */
const DEFAULT_KEY = 0;
const NO_KEY = -1;
/** `init_pkru_value`: key 0 is open, all others deny access. */
const PKRU_INIT = 0x55555554;
const DENIALS = PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE;
const ACCESS = VM_READ | VM_WRITE | VM_EXEC;

/** Whether PKRU lets a load, or a store, through memory of a key. `__pkru_allows_pkey`. */
export function pkruAllows(pkru: number, key: number, write: boolean): boolean {
  return ((pkru >>> (2 * key)) & (write ? DENIALS : PKEY_DISABLE_ACCESS)) === 0;
}

/** The keys of one address space, and the register. `mm_context_t`. */
export class ProtectionKeys {
  /** PKRU: two bits for each key, `PKEY_DISABLE_ACCESS` and `PKEY_DISABLE_WRITE`. Unsigned. */
  pkru = PKRU_INIT;
  /** `pkey_allocation_map`. */
  private allocated = 1 << DEFAULT_KEY;
  /** The key of areas that may be executed and nothing else; taken when there is the first. */
  private executeOnly = NO_KEY;

  /** Whether a load, or a store, through memory of the key is let through. */
  allow(key: number, write: boolean): boolean {
    return pkruAllows(this.pkru, key, write);
  }

  /** pkey_alloc(2): the lowest free key, set to deny `access` (`PKEY_DISABLE_*`); -EINVAL, -ENOSPC. */
  alloc(flags: number, access: number): number {
    if (flags !== 0 || (access & ~DENIALS) !== 0) return -EINVAL;
    const key = this.take();
    if (key === NO_KEY) return -ENOSPC;
    this.deny(key, access);
    return key;
  }

  /** pkey_free(2): 0, or -EINVAL. Areas keep the key, PKRU its bits, and whoever gets the key next has both. */
  free(key: number): number {
    if (!this.has(key)) return -EINVAL;
    this.allocated &= ~(1 << key);
    return 0;
  }

  /** Whether the process may ask for the key; it may not for the one of execute-only memory. `mm_pkey_is_allocated`. */
  has(key: number): boolean {
    if (!(key >= 0 && key < KEYS) || key === this.executeOnly) return false;
    return (this.allocated & (1 << key)) !== 0;
  }

  /**
   * The key of an area that gets the protection `prot`: `asked`, or with -1 the one it has, unless it becomes execute-only
   * or was. `__arch_override_mprotect_pkey`.
   */
  keyFor(vmFlags: number, prot: number, asked: number): number {
    if (asked !== NO_KEY) return asked;
    if (prot === VM_EXEC) {
      const key = this.executeOnlyKey();
      if (key > 0) return key;
    } else if ((vmFlags & ACCESS) === VM_EXEC && vmaPkey(vmFlags) === this.executeOnly) return DEFAULT_KEY;
    return vmaPkey(vmFlags);
  }

  /** The key of a new area with the protection `prot`; `do_mmap`. */
  keyForNew(prot: number): number {
    return prot === VM_EXEC ? Math.max(DEFAULT_KEY, this.executeOnlyKey()) : DEFAULT_KEY;
  }

  /** For a child of fork: the same keys, the same register. `arch_dup_pkeys`. */
  inherit(): ProtectionKeys {
    const child = new ProtectionKeys();
    child.pkru = this.pkru;
    child.allocated = this.allocated;
    child.executeOnly = this.executeOnly;
    return child;
  }

  /** The key that denies loads and stores, or -1 when all are taken. `__execute_only_pkey`. */
  private executeOnlyKey(): number {
    if (this.executeOnly !== NO_KEY && !this.allow(this.executeOnly, false)) return this.executeOnly;
    const key = this.executeOnly !== NO_KEY ? this.executeOnly : this.take();
    if (key === NO_KEY) return NO_KEY;
    this.deny(key, PKEY_DISABLE_ACCESS);
    this.executeOnly = key;
    return key;
  }

  /** `mm_pkey_alloc`. */
  private take(): number {
    for (let key = 0; key < KEYS; key++) {
      if ((this.allocated & (1 << key)) !== 0) continue;
      this.allocated |= 1 << key;
      return key;
    }
    return NO_KEY;
  }

  /** `arch_set_user_pkey_access`. */
  private deny(key: number, access: number): void {
    this.pkru = ((this.pkru & ~(DENIALS << (2 * key))) | (access << (2 * key))) >>> 0;
  }
}
