/**
 * One I/O queue pair: a submission ring, a completion ring, and the bios between them.
 *
 *   bio -> tag -> its pages mapped for DMA -> 64 bytes into the submission ring -> tail doorbell
 *   interrupt -> entries with this round's phase -> pages unmapped -> tag free -> bioEndIo -> head doorbell
 *
 * The command identifier is the tag below a generation of four bits, so that a completion that comes twice does not end the
 * next command under its tag. Everything known of a command in flight lies in arrays indexed by the tag. A tag's part of
 * the PRP pool (`list`) holds the list of its pages, or the range of a discard.
 *
 * Tags, the line of waiting bios, sending again and timeouts are the block layer's (DispatchQueue). While the controller
 * is being reset the queue is quiesced: what was in flight is requeued, and is issued again with all that came meanwhile.
 *
 * All functions are for any context and allocate nothing; the handler runs in hardirq context.
 * Source followed: `nvme_queue_rq`, `nvme_setup_prps`, `nvme_process_cq`, `nvme_timeout` (Linux 6.18,
 * drivers/nvme/host/pci.c), `nvme_setup_rw`, `nvme_setup_discard` (core.c), `nvme_cid` and `nvme_find_rq` (nvme.h).
 */
import type { Bio, DmaMapper, QueueOps, Registers, Tracepoint, World } from '@pincushion/driver';
import { BioOp, BlkStatus, DispatchQueue, DmaDirection, ENOMEM, REQ_FUA, TimeoutAnswer } from '@pincushion/driver';
import { DSM_DEALLOCATE, DW12_FUA, NvmOpcode } from '../spec/opcodes';
import { blockStatus, mayRetry } from './block-status';
import type { NamespaceDisk } from './namespace-disk';

// Imported bindings are getters once compiled; the hot functions read constants of the module.
const OP_READ = BioOp.read;
const OP_WRITE = BioOp.write;
const OP_FLUSH = BioOp.flush;
const OP_DISCARD = BioOp.discard;
const OP_WRITE_ZEROES = BioOp.writeZeroes;
const FUA = REQ_FUA;
/** Bits of the tag in a command identifier: rings have at most 4096 entries. The generation is above them. */
const TAG_BITS = 12;
const TAG_MASK = (1 << TAG_BITS) - 1;
const GENERATION_MASK = 15;
const TO_DEVICE = DmaDirection.toDevice;
const FROM_DEVICE = DmaDirection.fromDevice;
const STATUS_OK = BlkStatus.ok;
const NO_RESOURCE = BlkStatus.resource;
const CMD_READ = NvmOpcode.read;
const CMD_WRITE = NvmOpcode.write;
const FUA_BIT = DW12_FUA;

/** Takes the high word of an address: a product is cheaper than a quotient, and exact for powers of two. */
const TO_HIGH_WORD = 1 / 0x1_0000_0000;
const PAGE = 4096;

/** Memory that queue and controller share. */
export interface SharedMemory {
  readonly iova: number;
  readonly words: Int32Array;
}

/** Who owns the queue hears of commands that take too long. Softirq context. */
export interface QueueOwner {
  /** Asks the controller to abort; whatever becomes of it, the command itself must end. */
  abort(queue: QueuePair, tag: number): void;
  /** Aborting has not helped. */
  needsReset(queue: QueuePair, tag: number): void;
}

export interface QueueSetup {
  /** Queue id, from 1. */
  readonly id: number;
  /** No interrupt: completions are taken when somebody polls. */
  readonly isPolled: boolean;
  /** Entries of the rings. */
  readonly depth: number;
  readonly submissions: SharedMemory;
  readonly completions: SharedMemory;
  /** The PRP pool: `listBytes` for each tag. */
  readonly lists: SharedMemory;
  /** A power of two, at most a page, so that no list crosses one. */
  readonly listBytes: number;
  /** Offsets of the doorbells. */
  readonly tailDoorbell: number;
  readonly headDoorbell: number;
  readonly retriesMax: number;
  readonly timeoutNs: number;
  /** nvme:setup and nvme:complete. */
  readonly traceSetup: Tracepoint;
  readonly traceComplete: Tracepoint;
}

export class QueuePair implements QueueOps {
  readonly id: number;
  readonly isPolled: boolean;
  readonly depth: number;
  /** Bus addresses of the rings. */
  readonly submissionsIova: number;
  readonly completionsIova: number;
  /** What the disks of all namespaces submit to. */
  readonly dispatch: DispatchQueue;
  /** Completions that named no command in flight. */
  strays = 0;
  private readonly tagCount: number;
  /** How often the tag was issued, modulo 16. */
  private readonly generation: Uint8Array;
  /** 1: the command was late once, and an abort was sent. */
  private readonly aborting: Uint8Array;
  /** Address of the mapping; 0: nothing is mapped. */
  private readonly mapped: Float64Array;
  private readonly sq: Int32Array;
  private readonly cq: Int32Array;
  private readonly list: Int32Array;
  private tail = 0;
  private head = 0;
  private phase = 1;
  private live = false;
  /** How bios end now that the controller answers no more. */
  private deadStatus: number = BlkStatus.offline;
  private readonly tailDoorbell: number;
  private readonly headDoorbell: number;
  private readonly retriesMax: number;
  private readonly listBytes: number;
  private readonly listIova: number;
  private readonly traceSetup: Tracepoint;
  private readonly traceComplete: Tracepoint;

  constructor(
    world: World,
    name: string,
    setup: QueueSetup,
    private readonly registers: Registers,
    private readonly dma: DmaMapper,
    private readonly owner: QueueOwner,
  ) {
    const { depth } = setup;
    this.tailDoorbell = setup.tailDoorbell;
    this.headDoorbell = setup.headDoorbell;
    this.retriesMax = setup.retriesMax;
    this.listBytes = setup.listBytes;
    this.listIova = setup.lists.iova;
    this.traceSetup = setup.traceSetup;
    this.traceComplete = setup.traceComplete;
    this.submissionsIova = setup.submissions.iova;
    this.completionsIova = setup.completions.iova;
    const tags = depth - 1; // A ring of n entries holds n - 1.
    this.tagCount = tags;
    this.id = setup.id;
    this.isPolled = setup.isPolled;
    this.depth = depth;
    this.sq = setup.submissions.words;
    this.cq = setup.completions.words;
    this.list = setup.lists.words;
    this.generation = new Uint8Array(tags);
    this.aborting = new Uint8Array(tags);
    this.mapped = new Float64Array(tags);
    this.dispatch = new DispatchQueue(world, name, { depth: tags, timeoutNs: setup.timeoutNs }, this);
    this.dispatch.quiesce();
  }

  /** The controller has (again) created this queue: what waits is issued. */
  goLive(): void {
    this.live = true;
    this.dispatch.unquiesce();
  }

  /** From now on bios wait. The rings are not touched. */
  freeze(): void {
    this.live = false;
    this.dispatch.quiesce();
  }

  /**
   * The controller has stopped and forgotten its queues: everything in flight will be issued again, or ends when it was tried
   * too often, and the rings begin anew.
   * Source followed: `nvme_cancel_request`, `nvme_init_queue`.
   */
  takeBack(): void {
    this.poll();
    for (let tag = 0; tag < this.tagCount; tag++) {
      const bio = this.dispatch.bioOf(tag);
      if (bio === null) continue;
      this.unmap(bio, tag);
      if (bio.retries >= this.retriesMax) {
        this.dispatch.complete(tag, BlkStatus.timeout);
      } else {
        bio.retries++;
        this.dispatch.requeue(tag);
      }
    }
    this.cq.fill(0);
    this.tail = 0;
    this.head = 0;
    this.phase = 1;
  }

  /** The controller will answer no more: every bio ends with `status`, those in flight, those that wait and those to come. */
  fail(status: number): void {
    this.live = false;
    this.deadStatus = status;
    this.dispatch.quiesce();
    for (let tag = 0; tag < this.tagCount; tag++) {
      const bio = this.dispatch.bioOf(tag);
      if (bio === null) continue;
      this.unmap(bio, tag);
      this.dispatch.complete(tag, status);
    }
    this.dispatch.unquiesce();
    this.dispatch.close();
  }

  /** The identifier of the command that is in flight under a tag. */
  commandId(tag: number): number {
    return tag | (this.generation[tag] << TAG_BITS);
  }

  /** Hardirq, or whoever polls: takes every new completion, a whole burst, and tells the controller once. Returns how many. */
  poll(): number {
    const { cq } = this;
    let count = 0;
    for (;;) {
      const at = this.head << 2;
      const last = cq[at + 3];
      if (((last >>> 16) & 1) !== this.phase) break;
      if (++this.head === this.depth) {
        this.head = 0;
        this.phase ^= 1;
      }
      count++;
      this.complete(last & TAG_MASK, (last >>> TAG_BITS) & GENERATION_MASK, last >>> 17);
    }
    if (count > 0) this.registers.write32(this.headDoorbell, this.head);
    return count;
  }

  /**
   * Softirq, of a command that takes too long. A completion whose interrupt was lost is taken here; else the command is
   * aborted, and when that has not helped after as long again, the owner resets.
   */
  timedOut(_bio: Bio, tag: number): TimeoutAnswer {
    if (!this.live) return TimeoutAnswer.resetTimer;
    const issue = this.generation[tag];
    this.poll();
    if (this.dispatch.bioOf(tag) === null || this.generation[tag] !== issue) return TimeoutAnswer.done;
    if (this.aborting[tag] !== 0) {
      this.owner.needsReset(this, tag);
      return TimeoutAnswer.done;
    }
    this.aborting[tag] = 1;
    this.owner.abort(this, tag);
    return TimeoutAnswer.resetTimer;
  }

  /**
   * Of the block layer: a bio has a tag. Maps the data, writes the command and rings. Zero words of an entry stay zero from
   * one round to the next: no command writes them.
   */
  queueRq(bio: Bio, tag: number): number {
    if (!this.live) return this.deadStatus;
    const { sq } = this;
    const { op, bytes } = bio;
    const isRead = op === OP_READ;
    if (!isRead && op !== OP_WRITE) {
      return this.issueWithoutData(bio, tag);
    }
    const direction = isRead ? FROM_DEVICE : TO_DEVICE;
    const iova = this.dma.mapPages(bio.pages, 0, bio.pageCount, bio.firstOffset, bytes, direction);
    if (iova < 0) return iova === -ENOMEM ? NO_RESOURCE : BlkStatus.ioerr;
    this.mapped[tag] = iova;
    const at = this.tail << 4;
    const low = iova | 0;
    sq[at + 6] = low;
    sq[at + 7] = (iova * TO_HIGH_WORD) | 0;
    const first = PAGE - (low & (PAGE - 1));
    if (bytes <= first) {
      sq[at + 8] = 0;
      sq[at + 9] = 0;
    } else {
      this.writePrp2(at, tag, iova + first, bytes - first);
    }
    this.writeBlocks(at, bio);
    if ((bio.flags & FUA) !== 0) sq[at + 12] |= FUA_BIT;
    this.ring(bio, tag, isRead ? CMD_READ : CMD_WRITE);
    return STATUS_OK;
  }

  private issueWithoutData(bio: Bio, tag: number): number {
    const { sq } = this;
    const at = this.tail << 4;
    for (let i = 6; i <= 12; i++) sq[at + i] = 0;
    if (bio.op === OP_FLUSH) {
      this.ring(bio, tag, NvmOpcode.flush);
    } else if (bio.op === OP_WRITE_ZEROES) {
      this.writeBlocks(at, bio);
      this.ring(bio, tag, NvmOpcode.writeZeroes);
    } else if (bio.op === OP_DISCARD) {
      this.writeRange(tag, bio);
      const iova = this.listIova + tag * this.listBytes;
      sq[at + 6] = iova | 0;
      sq[at + 7] = (iova * TO_HIGH_WORD) | 0;
      sq[at + 11] = DSM_DEALLOCATE;
      this.ring(bio, tag, NvmOpcode.datasetManagement);
    } else {
      return BlkStatus.notSupp;
    }
    return STATUS_OK;
  }

  /** The entry at the tail is complete but for its first words: hands it to the controller. */
  private ring(bio: Bio, tag: number, opcode: number): void {
    const { sq, generation } = this;
    const at = this.tail << 4;
    const issue = (generation[tag] + 1) & GENERATION_MASK;
    generation[tag] = issue;
    sq[at] = opcode | (tag << 16) | (issue << (16 + TAG_BITS));
    sq[at + 1] = (bio.disk as NamespaceDisk).nsid;
    bio.cid = tag;
    this.aborting[tag] = 0;
    if (this.traceSetup.on) this.traceSetup.emit(this.id, tag, opcode, bio.id);
    const tail = this.tail + 1 === this.depth ? 0 : this.tail + 1;
    this.tail = tail;
    this.registers.write32(this.tailDoorbell, tail);
  }

  /** First block and number of blocks (0's based); the disk's limits keep the number within 16 bits. */
  private writeBlocks(at: number, bio: Bio): void {
    const { sq } = this;
    const { sectorShift } = bio.disk as NamespaceDisk;
    const first = sectorShift === 0 ? bio.sector : bio.sector / (1 << sectorShift);
    sq[at + 10] = first | 0;
    sq[at + 11] = (first * TO_HIGH_WORD) | 0;
    sq[at + 12] = (bio.bytes >>> (9 + sectorShift)) - 1;
  }

  /** The data goes on for `left` bytes at `next`: PRP2 as page or list. The mapping is one contiguous range. */
  private writePrp2(at: number, tag: number, next: number, left: number): void {
    const { sq, list } = this;
    let pointer = next;
    if (left > PAGE) {
      pointer = this.listIova + tag * this.listBytes;
      let page = next;
      let entry = (tag * this.listBytes) >>> 2;
      for (let done = 0; done < left; done += PAGE) {
        list[entry] = page | 0;
        list[entry + 1] = (page * TO_HIGH_WORD) | 0;
        entry += 2;
        page += PAGE;
      }
    }
    sq[at + 8] = pointer | 0;
    sq[at + 9] = (pointer * TO_HIGH_WORD) | 0;
  }

  /** The one range of a discard; the disk's limits keep its length within 32 bits. */
  private writeRange(tag: number, bio: Bio): void {
    const { list } = this;
    const blockSectors = 1 << (bio.disk as NamespaceDisk).sectorShift;
    const first = bio.sector / blockSectors;
    const entry = (tag * this.listBytes) >>> 2;
    list[entry] = 0;
    list[entry + 1] = (bio.bytes / (512 * blockSectors)) | 0;
    list[entry + 2] = first | 0;
    list[entry + 3] = (first * TO_HIGH_WORD) | 0;
  }

  private complete(tag: number, generation: number, status: number): void {
    const bio = this.dispatch.bioOf(tag);
    if (bio === null || this.generation[tag] !== generation) {
      this.strays++;
      return;
    }
    if (this.traceComplete.on) this.traceComplete.emit(this.id, tag, status, bio.id);
    this.unmap(bio, tag);
    if (status === 0) this.dispatch.complete(tag, STATUS_OK);
    else this.completeFailed(bio, tag, status);
  }

  /** Source followed: `nvme_retry_req`. */
  private completeFailed(bio: Bio, tag: number, status: number): void {
    if (!mayRetry(status) || bio.retries >= this.retriesMax) {
      this.dispatch.complete(tag, blockStatus(status));
      return;
    }
    bio.retries++;
    this.dispatch.requeue(tag);
  }

  private unmap(bio: Bio, tag: number): void {
    const iova = this.mapped[tag];
    if (iova === 0) return;
    this.mapped[tag] = 0;
    this.dma.unmapPages(iova, bio.bytes, bio.op === OP_READ ? FROM_DEVICE : TO_DEVICE);
  }
}
