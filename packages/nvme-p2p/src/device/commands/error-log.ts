/**
 * The error information log: the newest errors first, a fixed number of them.
 *
 *   bytes 0 … 7 count   8 queue   10 command   12 status and phase   14 where in the command   16 block   24 namespace
 *
 * What gets an entry: every I/O command that fails, an admin command whose data could not be moved, and errors that belong to
 * no command, such as a bad doorbell. An admin command that is refused for its parameters says all there is in its status and gets
 * none.
 * Source: NVM Express Base Specification 1.4, section 5.14.1.1.
 */
import { NvmeStatus, STATUS_MASK } from '../../spec/status';
import type { CommandSlots } from '../queues/command-slots';
import { SmartCount } from './health';
import type { SmartCounters } from './health';
import { putNumber } from './identify';

const ENTRY_BYTES = 64;
const HIGH_WORD = 0x1_0000_0000;
/** Queue and command id of an error that belongs to no command. */
const NONE = 0xffff;
/** Parameter error location: unknown. */
const NOWHERE = 0xffff;

interface ErrorEntry {
  readonly count: number;
  readonly queue: number;
  readonly command: number;
  readonly status: number;
  readonly block: number;
  readonly nsid: number;
}

export class ErrorLog {
  /** Errors since power-on, also those that have left the log. */
  count = 0;
  private readonly entries: ErrorEntry[] = [];

  /** @param counters of the SMART log */
  constructor(
    private readonly entriesMax: number,
    private readonly counters: SmartCounters,
  ) {}

  /** The command in a slot ends with this status, which is not success. Media errors are counted, too. */
  failed(slots: CommandSlots, slot: number, status: number): void {
    const { words } = slots;
    const at = slots.at(slot);
    const queue = slots.queueOf(slot);
    const isAdmin = queue === 0;
    const code = status & STATUS_MASK;
    if (code === NvmeStatus.unrecoveredRead || code === NvmeStatus.writeFault) {
      this.counters[SmartCount.mediaErrors]++;
    }
    if (isAdmin && status !== NvmeStatus.dataTransferError) return;
    const block = isAdmin ? 0 : (words[at + 11] >>> 0) * HIGH_WORD + (words[at + 10] >>> 0);
    this.add({ count: ++this.count, queue, command: slots.cid(slot), status, block, nsid: words[at + 1] >>> 0 });
  }

  /** An error that belongs to no command. */
  controller(): void {
    this.add({ count: ++this.count, queue: NONE, command: NONE, status: 0, block: 0, nsid: 0 });
  }

  page(): Uint8Array {
    const page = new Uint8Array(this.entriesMax * ENTRY_BYTES);
    for (const [i, entry] of this.entries.entries()) {
      const at = i * ENTRY_BYTES;
      putNumber(page, at, entry.count, 8);
      putNumber(page, at + 8, entry.queue, 2);
      putNumber(page, at + 10, entry.command, 2);
      putNumber(page, at + 12, (entry.status << 1) & 0xffff, 2);
      putNumber(page, at + 14, NOWHERE, 2);
      putNumber(page, at + 16, entry.block, 8);
      putNumber(page, at + 24, entry.nsid, 4);
    }
    return page;
  }

  private add(entry: ErrorEntry): void {
    this.entries.unshift(entry);
    if (this.entries.length > this.entriesMax) this.entries.length = this.entriesMax;
  }
}
