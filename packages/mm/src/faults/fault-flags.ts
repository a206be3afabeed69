/**
 * The words in which page faults are asked for and answered.
 *
 * A fault function answers 0, -errno, or one of the two below, which are no errno: callers outside the fault code see them
 * only through `handleMmFault`, where GUP and the CPU translate them.
 * Source followed: include/linux/mm_types.h `enum fault_flag`, `enum vm_fault_reason` (6.18).
 */
import { Gfp } from '../frames/zone';

export const FAULT_WRITE = 1 << 0;
/** Give the process a page of its own, but leave it read-only. */
export const FAULT_UNSHARE = 1 << 1;
/** Inside a long-term pin: new pages must not come from ZONE_MOVABLE (`memalloc_pin_save`). */
export const FAULT_PIN_SCOPE = 1 << 2;
/** The fault may not be begun again after it waited: a caller of GUP that keeps the lock (no FOLL_UNLOCKABLE). */
export const FAULT_NO_RETRY = 1 << 3;

/** SIGBUS: there is nothing behind the address, as beyond the end of a file. */
export const VM_FAULT_SIGBUS = -4097;
/** The huge page cannot be had, or is no longer one: go on with small pages. */
export const FAULT_FALLBACK = -4098;
/** A page was read in, and anything may have happened meanwhile: look at the address again. Inside file faults only. */
export const VM_FAULT_RETRY = -4099;

/** Where new user pages of a fault come from. */
export function gfpOf(flags: number): 0 | 1 {
  return (flags & FAULT_PIN_SCOPE) !== 0 ? Gfp.kernel : Gfp.movable;
}
