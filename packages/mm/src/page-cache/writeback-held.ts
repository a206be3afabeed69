/**
 * Who holds a page that is to be written, as far as the kernel can tell, and what the machine's policy makes of it.
 *
 * A pin can be told from other references; a plain reference cannot, and with `get` nobody looks for it (profile 6.1: direct
 * I/O in flight is invisible to all policies). With `pin-longterm-only` a pin means that it may last for ever, and a
 * reference that nobody accounts for means a transfer that soon ends: then `wait` waits for references, and writes
 * a copy of a pinned page, for which it would wait in vain.
 */
import type { AddressSpace } from './address-space';
import { findFolio } from './page-cache';
import { PG_private } from '../frames/frames';
import type { Memory } from '../memory';

export type HeldBy = 'nobody' | 'pin' | 'reference';

/** What to do with a page now. */
export type HeldAction = 'write' | 'bounce' | 'defer' | 'wait';

/** Who else holds a folio of the cache than its mappings and its file. Any context. */
export function folioHeldBy(memory: Memory, head: number): HeldBy {
  if (memory.scheme.isPinned(head) !== 'no') return 'pin';
  if (memory.directIoHold !== 'pin-longterm-only') return 'nobody';
  const { frames } = memory;
  const known = 1 + frames.folioMapcount(head) + ((frames.flags[head] & PG_private) !== 0 ? 1 : 0);
  return frames.refcount[head] > known ? 'reference' : 'nobody';
}

/** What the policy says about a folio that is held so; `isIntegrity`: somebody waits for it to be on the store (W-06). */
export function actionFor(memory: Memory, held: HeldBy, isIntegrity: boolean): HeldAction {
  if (held === 'nobody') return 'write';
  switch (memory.writeback.settings.pinned) {
    case 'linux':
      return 'write';
    case 'bounce':
      return 'bounce';
    case 'skip':
      return isIntegrity ? 'write' : 'defer';
    case 'wait':
      if (!isIntegrity) return 'defer';
      return held === 'pin' && memory.directIoHold === 'pin-longterm-only' ? 'bounce' : 'wait';
  }
}

/** Whether page `index` is no longer folio `head`, or nobody holds it any more. */
export function isGivenBack(mapping: AddressSpace, index: number, head: number): boolean {
  return findFolio(mapping, index) !== head || folioHeldBy(mapping.memory, head) === 'nobody';
}

/** For the report of a wait that never ends: `page 3 of data to be unpinned, pinned by nic0 at nic.ts:31`. */
export function waitForHolders(mapping: AddressSpace, index: number, head: number): string {
  const holders = mapping.memory.ledger.holdersOf(head).map(({ kind, owner, site }) => {
    return `${kind === 'pin' ? 'pinned' : 'gotten'} by ${owner} at ${site}`;
  });
  const whom = holders.length === 0 ? '' : `, ${[...new Set(holders)].join(', ')}`;
  return `page ${index} of ${mapping.name} to be given back${whom}`;
}
