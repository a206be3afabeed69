/**
 * A bio, and the thread that sleeps until it has ended.
 *
 * Several at once: chain them to one of them, submit all and wait for that one.
 * Source: Linux 6.18 block/bio.c (submit_bio_wait, submit_bio_wait_endio).
 */
import { sleeping } from '@pincushion/sim';
import type { Blocker, Task, Thread, World } from '@pincushion/sim';
import { BioState } from './bio';
import type { Bio } from './bio';
import type { Disk } from './disk';
import type { Plug } from './plug';
import { blkStatusToErrno } from './status';
import { submitBio } from './submit';

/**
 * Submits a bio and waits for its end. Task context. The bio must have no `endIo`; afterwards it is the caller's, who gives
 * its pages back and frees it.
 * @param plug holds the bio back until the caller sleeps, for neighbours that come before
 * @returns 0, or the errno of how it ended
 */
export function submitBioWait(disk: Disk, bio: Bio, plug: Plug | null = null): Task<number> {
  const { world } = bio.owner.memory;
  return sleeping(world, `submitBioWait on ${disk.name}`, () => submitAndSleep(world, disk, bio, plug));
}

function* submitAndSleep(world: World, disk: Disk, bio: Bio, plug: Plug | null): Generator<Blocker, number, undefined> {
  let sleeper: Thread | null = null;
  bio.endIo = () => {
    if (sleeper !== null) world.wake(sleeper);
    return undefined;
  };
  const end: Blocker = {
    waitingFor: `bio ${bio.id} on ${disk.name}`,
    block: (thread) => {
      sleeper = thread;
      return true;
    },
  };
  submitBio(disk, bio, plug);
  while (bio.state !== BioState.ended) yield end;
  return blkStatusToErrno(bio.status);
}
