/**
 * One direct I/O on its way: what its bios have in common (`struct iomap_dio`). Made once and reused.
 *
 * References: one for each bio in flight and one for the submission; who drops the last one ends the request.
 */
import type { Blocker, Thread } from '@pincushion/sim';

export class DirectRequest {
  isWrite = false;
  position = 0;
  /** Bytes asked for. */
  bytes = 0;
  address = 0;
  cpu = 0;
  /** Given to `onDone`; a program that waits for its request has none. */
  token = 0;
  isAsync = false;
  /** Bytes given to the disk, or filled with zeros. */
  size = 0;
  /** The first error, -errno. */
  error = 0;
  references = 0;
  /** `i_size` when it began: a read ends there. */
  fileSize = 0;
  /** Nobody else may write beside it: it holds the inode's lock to its end. */
  isExclusive = false;
  /** It zeroes what it leaves out of blocks without content. */
  padsBlocks = false;
  /** It fills blocks that had no content. */
  fillsNew = false;
  private sleeper: Thread | null = null;
  private readonly end: Blocker;

  constructor(
    readonly index: number,
    what: string,
  ) {
    this.end = {
      waitingFor: what,
      block: (thread) => {
        this.sleeper = thread;
        return true;
      },
    };
  }

  begin(isWrite: boolean, address: number, bytes: number, position: number): void {
    this.isWrite = isWrite;
    this.address = address;
    this.bytes = bytes;
    this.position = position;
    this.size = 0;
    this.error = 0;
    this.references = 1;
    this.isAsync = false;
    this.isExclusive = false;
    this.padsBlocks = false;
    this.fillsNew = false;
  }

  /** Notes an error; the first counts. */
  fail(errno: number): void {
    if (this.error === 0) this.error = errno;
  }

  /** Drops one reference; true with the last, also for a thread that waits, which is woken. Any context. */
  drop(wake: (thread: Thread) => void): boolean {
    if (--this.references > 0) return false;
    if (this.sleeper !== null) wake(this.sleeper);
    return true;
  }

  /** Waits for the last reference to go. */
  *ended() {
    while (this.references > 0) yield this.end;
    this.sleeper = null;
  }
}
