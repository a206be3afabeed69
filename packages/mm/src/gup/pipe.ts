/**
 * A pipe, as far as it holds user pages: vmsplice puts the pages themselves in, without copying.
 *
 * Each buffer has one plain reference (FOLL_GET) of a page, taken for reading, so a page that is shared after fork stays
 * shared: what the reader gets is the page's content at the time of reading, unless the writer has moved away from it by a
 * copy meanwhile. Nobody accounts for such references, and a thousand of them make a page look pinned (P-02).
 * Left out: write() into a pipe, splice to files (the gift flag is kept and has no effect here), waiting for space: a full
 * pipe is -EAGAIN, as with SPLICE_F_NONBLOCK.
 * Source followed: fs/splice.c `vmsplice_to_pipe`, `iter_to_pipe`, `add_to_pipe`; fs/pipe.c `pipe_read` (6.18).
 */
import { EAGAIN, EFAULT, EINVAL, EPIPE } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import { newGottenPages } from './user-page';
import type { GottenPages } from './user-page';

/** Buffers of a new pipe (`PIPE_DEF_BUFFERS`). */
const DEFAULT_BUFFERS = 16;
/** Pages that one step of a vmsplice takes from user memory. */
const STEP_PAGES = 16;

interface PipeBuffer {
  readonly page: GottenPages;
  offset: number;
  length: number;
  /** SPLICE_F_GIFT: the giver promises not to touch the page any more. */
  readonly gift: boolean;
}

export class Pipe {
  private readonly buffers: PipeBuffer[] = [];
  private capacity = DEFAULT_BUFFERS;
  private isClosed = false;
  private readonly owner: number;

  constructor(
    private readonly memory: Memory,
    readonly name = 'pipe',
  ) {
    this.owner = memory.ledger.owner(name);
  }

  /** Buffers in use; each holds one reference. */
  get used(): number {
    return this.buffers.length;
  }

  /** The frames of the buffers, oldest first. */
  get pages(): readonly number[] {
    return this.buffers.map((buffer) => buffer.page[0]);
  }

  /** F_SETPIPE_SZ: room for `bytes`, rounded up to a power of two of pages. The new size; -EINVAL, -EBUSY is -EAGAIN. */
  setSize(bytes: number): number {
    let slots = 1;
    while (slots * PAGE_SIZE < bytes) slots *= 2;
    if (bytes <= 0) return -EINVAL;
    if (slots < this.buffers.length) return -EAGAIN;
    this.capacity = slots;
    return slots * PAGE_SIZE;
  }

  /**
   * vmsplice(2) of `bytes` bytes of a process at `address`. Bytes put in, fewer at a page that cannot be had or when the
   * pipe is full; with none -EFAULT (-ENOMEM), -EAGAIN, -EPIPE. Task context, may sleep in a fault.
   */
  vmsplice(mm: Mm, address: number, bytes: number, options: { gift?: boolean } = {}): MaySleep {
    this.memory.world.contexts.mightSleep('vmsplice');
    if (this.isClosed) return -EPIPE;
    if (bytes <= 0) return 0;
    if (this.buffers.length >= this.capacity) return -EAGAIN;
    return eagerly(this.memory.world, 'vmsplice', this.fill(mm, address, bytes, options.gift === true));
  }

  /** Takes up to `n` bytes out to `into[at…]`; buffers that are empty then give their page back. Bytes read. */
  read(into: Uint8Array, at = 0, n = into.length - at): number {
    let done = 0;
    while (done < n && this.buffers.length > 0) {
      const buffer = this.buffers[0];
      const length = Math.min(buffer.length, n - done);
      this.memory.bytes.read(buffer.page[0], buffer.offset, into, at + done, length);
      buffer.offset += length;
      buffer.length -= length;
      done += length;
      if (buffer.length === 0) this.release(this.buffers.shift() as PipeBuffer);
    }
    return done;
  }

  /** Both ends are closed: what is still inside is thrown away. */
  close(): void {
    this.isClosed = true;
    for (const buffer of this.buffers.splice(0)) this.release(buffer);
  }

  /** `iter_to_pipe`. */
  private *fill(mm: Mm, address: number, bytes: number, gift: boolean) {
    const { gup } = this.memory;
    const pages = newGottenPages(STEP_PAGES);
    let total = 0;
    while (total < bytes) {
      const offset = (address + total) % PAGE_SIZE;
      const first = address + total - offset;
      const wanted = Math.min(STEP_PAGES, Math.ceil((offset + bytes - total) / PAGE_SIZE));
      const got = yield* settled(gup.getUserPagesFast(mm, first, wanted, 0, pages, 0, this.owner));
      if (got <= 0) return total > 0 ? total : got === 0 ? -EFAULT : got;
      for (let i = 0; i < got; i++) {
        const start = i === 0 ? offset : 0;
        if (this.buffers.length >= this.capacity) {
          gup.putPages(pages, i, got - i);
          return total > 0 ? total : -EAGAIN;
        }
        const length = Math.min(PAGE_SIZE - start, bytes - total);
        this.buffers.push({ page: pages.slice(i, i + 1) as GottenPages, offset: start, length, gift });
        total += length;
      }
    }
    return total;
  }

  private release(buffer: PipeBuffer): void {
    this.memory.gup.putPages(buffer.page, 0, 1);
  }
}
