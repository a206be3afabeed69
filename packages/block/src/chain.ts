/**
 * Chains: a bio that ends when others have.
 *
 * ```
 * bioChain(child, parent) … submitBio(disk, child), submitBio(disk, parent)      in any order
 * ```
 * The parent's `endIo` is called once, after the last of them, with the first error (B-11). Children go back to their pools.
 * Source: Linux 6.18 block/bio.c (bio_chain, bio_chain_endio).
 */
import { PincushionError } from '@pincushion/sim';
import { BioState, ignoreEnd } from './bio';
import type { Bio } from './bio';
import { childEnded } from './end';

/**
 * Lets `parent` wait for the end of `child`. Any context; before the child is submitted and before the parent has ended.
 * The child must have no `endIo` of its own and must not own pages; it is freed at its end. The caller owes the submission
 * of both. Throws BIO_INVALID.
 */
export function bioChain(child: Bio, parent: Bio): void {
  if (child.endIo !== ignoreEnd || child.parent !== null) badChain(child, 'it has an end of its own');
  if (child.state !== BioState.filling) badChain(child, 'it was submitted already');
  if (parent.state === BioState.free || parent.state === BioState.ended) badChain(child, 'the parent has ended');
  child.parent = parent;
  child.endIo = endChained;
  parent.children++;
}

/** Whether a bio has nobody but its parent to tell. */
export function isChained(bio: Bio): boolean {
  return bio.endIo === endChained && bio.parent !== null;
}

function endChained(child: Bio): undefined {
  const { parent, status } = child;
  child.parent = null;
  child.owner.free(child);
  if (parent !== null) childEnded(parent, status);
  return undefined;
}

function badChain(child: Bio, actual: string): never {
  throw new PincushionError('BIO_INVALID', `bio ${child.id} cannot be chained`, {
    expected: 'a bio that nobody has submitted and nobody waits for, and a parent that has not ended',
    actual,
  });
}
