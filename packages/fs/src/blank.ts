/** Whether anybody has put something on a store that a new file system would overwrite. */
import { Gfp, eagerly, settled } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { BlockStore } from './block-store';
import { SUPERBLOCK } from './disk-format/superblock';

/** 1 when the block that a superblock would be in is full of zeros, else 0; or -errno. Task context, may sleep. */
export function isBlank(memory: Memory, store: BlockStore): MaySleep {
  return eagerly(memory.world, 'looking for a file system', look(memory, store));
}

function* look(memory: Memory, store: BlockStore) {
  const frame = memory.allocFolio(0, Gfp.kernel);
  if (frame < 0) return -ENOMEM;
  const error = yield* settled(store.read(SUPERBLOCK, frame, 0));
  const isZero = memory.bytes.view(frame, store.blockBytes).every((byte) => byte === 0);
  memory.putFolio(frame);
  if (error < 0) return error;
  return isZero ? 1 : 0;
}
