/**
 * One I/O queue pair: a submission ring, a completion ring, and the bios between them.
 *
 *   bio -> tag -> its pages mapped for DMA -> 64 bytes into the submission ring -> tail doorbell
 *   interrupt -> entries with this round's phase -> pages unmapped -> tag free -> bioEndIo -> head doorbell
 *
 * The command identifier is the tag below a generation of four bits, so that a completion that comes twice does not end the
 * next command under its tag. Everything known of a command in flight lies in arrays indexed by the tag.
 *
 *   one run of bus addresses    PRPs; an SGL of one data block when the segments of memory are long on average (sgl_threshold)
 *   pieces with gaps            an SGL; only with a controller that takes those (`bio.vectored`)
 *   discard                     one range for each bio of the request
 *
 * Tags, the line of waiting bios, sending again and timeouts are the block layer's (DispatchQueue). While the controller
 * is being reset the queue is quiesced: what was in flight is requeued, and is issued again with all that came meanwhile.
 *
 * All functions are for any context and allocate nothing; the handler runs in hardirq context.
 * Source followed: `nvme_queue_rq`, `nvme_map_data`, `nvme_pci_use_sgls`, `nvme_process_cq`, `nvme_timeout`,
 * `nvme_write_sq_db` (Linux 6.18, drivers/nvme/host/pci.c), `nvme_setup_rw`, `nvme_setup_discard` (core.c), `nvme_cid` and
 * `nvme_find_rq` (nvme.h).
 */
import type { Bio, DmaMapper, QueueOps, Registers, Tracepoint, World } from '@pincushion/driver';
import { BioOp, BlkStatus, DispatchQueue, DmaDirection, FRAME_MASK, REQ_FUA, TimeoutAnswer } from '@pincushion/driver';
import { DSM_DEALLOCATE, DW12_FUA, NvmOpcode } from '../spec/opcodes';
import { REG_DOORBELLS } from '../spec/registers';
import { blockStatus, mappingStatus, mayRetry } from './block-status';
import { DataLists, SGL_DATA_BLOCK } from './data-lists';
import type { NamespaceDisk } from './namespace-disk';
import { HOST_ABORTED, PASSTHROUGH_OP, PassthroughCommands } from './passthrough-commands';
import type { QueueOwner, QueueSetup } from './queue-setup';
import type { ShadowDoorbells } from './shadow-doorbells';

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
const FRAME = FRAME_MASK;
/** Command dword 0, PSDT: the data pointer is an SGL descriptor; an opcode is in the low byte. */
const WITH_SGL = 1 << 14;
const OPCODE_MASK = 0xff;

/** Takes the high word of an address: a product is cheaper than a quotient, and exact for powers of two. */
const TO_HIGH_WORD = 1 / 0x1_0000_0000;
const PAGE = 4096;

const OP_PASSTHROUGH = PASSTHROUGH_OP;

export class QueuePair implements QueueOps {
  readonly id: number;
  readonly isPolled: boolean;
  readonly depth: number;
  /** Bus addresses of the rings. */
  readonly submissionsIova: number;
  readonly completionsIova: number;
  /** What the disks of all namespaces submit to. */
  readonly dispatch: DispatchQueue;
  readonly passthrough: PassthroughCommands;
  /** Positions go here first, when the controller has shadow doorbells. */
  shadow: ShadowDoorbells | null = null;
  /** Completions that named no command in flight. */
  strays = 0;
  private readonly tagCount: number;
  /** How often the tag was issued, modulo 16. */
  private readonly generation: Uint8Array;
  /** 1: the command was late once, and an abort was sent. */
  private readonly aborting: Uint8Array;
  /** Address of the mapping; 0: nothing is mapped, or pieces are. */
  private readonly mapped: Float64Array;
  private readonly lists: DataLists;
  private readonly sq: Int32Array;
  private readonly cq: Int32Array;
  private tail = 0;
  private head = 0;
  private phase = 1;
  private live = false;
  /** How bios end now that the controller answers no more. */
  private deadStatus: number = BlkStatus.offline;
  private readonly tailDoorbell: number;
  private readonly headDoorbell: number;
  private readonly retriesMax: number;
  private readonly sglThreshold: number;
  /** The same as dwords from the first doorbell, for the shadow. */
  private readonly tailShadow: number;
  private readonly headShadow: number;
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
    this.tailShadow = (setup.tailDoorbell - REG_DOORBELLS) >>> 2;
    this.headShadow = (setup.headDoorbell - REG_DOORBELLS) >>> 2;
    this.sglThreshold = setup.sglThreshold;
    this.lists = new DataLists(setup.lists, setup.listBytes, dma);
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
    this.passthrough = new PassthroughCommands(setup.submissions.words);
    this.cq = setup.completions.words;
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
      this.letGo(bio, tag);
      if (bio.op === OP_PASSTHROUGH) {
        this.dispatch.complete(tag, this.passthrough.ended(bio, HOST_ABORTED, 0));
      } else if (bio.retries >= this.retriesMax) {
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
      this.letGo(bio, tag);
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
    if (count > 0 && (this.shadow === null || this.shadow.leave(this.headShadow, this.head))) {
      this.registers.write32(this.headDoorbell, this.head);
    }
    return count;
  }

  /**
   * Softirq, of a command that takes too long. A completion whose interrupt was lost is taken here; else the command is
   * aborted, and when that has not helped after as long again, the owner resets: at once when the controller is down.
   */
  timedOut(_bio: Bio, tag: number): TimeoutAnswer {
    if (!this.live) return TimeoutAnswer.resetTimer;
    if (this.owner.isDown()) {
      this.owner.needsReset(this, tag);
      return TimeoutAnswer.done;
    }
    const issue = this.generation[tag];
    this.poll();
    if (this.dispatch.bioOf(tag) === null || this.generation[tag] !== issue) return TimeoutAnswer.done;
    if (this.aborting[tag] !== 0) {
      this.owner.needsReset(this, tag);
      return TimeoutAnswer.done;
    }
    if (this.owner.abort(this, tag)) this.aborting[tag] = 1;
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
    if (!isRead && op !== OP_WRITE) return this.issueWithoutData(bio, tag);
    const direction = isRead ? FROM_DEVICE : TO_DEVICE;
    if (bio.vectored) return this.issuePieces(bio, tag, direction);
    const iova = this.dma.mapPages(bio.pages, 0, bio.pageCount, bio.firstOffset, bytes, direction);
    if (iova < 0) return mappingStatus(iova);
    this.mapped[tag] = iova;
    const at = this.tail << 4;
    const low = iova | 0;
    sq[at + 6] = low;
    sq[at + 7] = (iova * TO_HIGH_WORD) | 0;
    const first = PAGE - (low & (PAGE - 1));
    let opcode: number = isRead ? CMD_READ : CMD_WRITE;
    if (bytes <= first) {
      sq[at + 8] = 0;
      sq[at + 9] = 0;
    } else if (bytes >= this.sglThreshold && bytes - first > PAGE && this.segmentsAreLong(bio)) {
      opcode |= WITH_SGL;
      sq[at + 8] = bytes;
      sq[at + 9] = SGL_DATA_BLOCK;
    } else {
      // PRP2: the second page, or a list of all that follow the first.
      const pointer = bytes - first <= PAGE ? iova + first : this.lists.prpList(tag, iova + first, bytes - first);
      sq[at + 8] = pointer | 0;
      sq[at + 9] = (pointer * TO_HIGH_WORD) | 0;
    }
    this.writeBlocks(at, bio);
    if ((bio.flags & FUA) !== 0) sq[at + 12] |= FUA_BIT;
    this.ring(bio, tag, opcode);
    return STATUS_OK;
  }

  /** The pieces of a bio with gaps, as one mapping with an SGL. */
  private issuePieces(bio: Bio, tag: number, direction: number): number {
    const status = this.lists.putPieces(tag, bio, direction, this.sq, (this.tail << 4) + 6);
    if (status !== STATUS_OK) return status;
    const at = this.tail << 4;
    this.writeBlocks(at, bio);
    if ((bio.flags & FUA) !== 0) this.sq[at + 12] |= FUA_BIT;
    this.ring(bio, tag, (bio.op === OP_READ ? CMD_READ : CMD_WRITE) | WITH_SGL);
    return STATUS_OK;
  }

  /** Whether runs of physical memory have the threshold on average; one mapping may well have many (nvme_pci_avg_seg_size). */
  private segmentsAreLong(bio: Bio): boolean {
    const { pages, pageCount } = bio;
    let segments = 1;
    for (let i = 1; i < pageCount; i++) if ((pages[i] & FRAME) !== (pages[i - 1] & FRAME) + 1) segments++;
    return bio.bytes >= this.sglThreshold * segments;
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
      const iova = this.lists.ranges(tag, bio);
      if (iova === 0) return NO_RESOURCE;
      sq[at + 6] = iova | 0;
      sq[at + 7] = (iova * TO_HIGH_WORD) | 0;
      sq[at + 10] = bio.first === null ? 0 : bio.progress; // NR, 0's based
      sq[at + 11] = DSM_DEALLOCATE;
      this.ring(bio, tag, NvmOpcode.datasetManagement);
    } else if (bio.op === OP_PASSTHROUGH) {
      return this.issuePassthrough(bio, tag);
    } else {
      return BlkStatus.notSupp;
    }
    return STATUS_OK;
  }

  private issuePassthrough(bio: Bio, tag: number): number {
    const opcode = this.passthrough.put(bio, this.tail);
    if (opcode < 0) return BlkStatus.notSupp;
    this.hand(bio, tag, opcode);
    return STATUS_OK;
  }

  /** The entry at the tail is complete but for its first words. */
  private ring(bio: Bio, tag: number, opcode: number): void {
    this.sq[(this.tail << 4) + 1] = (bio.disk as NamespaceDisk).nsid;
    if (this.passthrough.stains !== 0) this.passthrough.wipe(this.tail);
    this.hand(bio, tag, opcode);
  }

  /** Hands the entry at the tail to the controller. */
  private hand(bio: Bio, tag: number, opcode: number): void {
    const { generation, shadow } = this;
    const issue = (generation[tag] + 1) & GENERATION_MASK;
    generation[tag] = issue;
    this.sq[this.tail << 4] = opcode | (tag << 16) | (issue << (16 + TAG_BITS));
    bio.cid = tag;
    this.aborting[tag] = 0;
    if (this.traceSetup.on) this.traceSetup.emit(this.id, tag, opcode & OPCODE_MASK, bio.id);
    const tail = this.tail + 1 === this.depth ? 0 : this.tail + 1;
    this.tail = tail;
    if (shadow === null || shadow.leave(this.tailShadow, tail)) this.registers.write32(this.tailDoorbell, tail);
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

  private complete(tag: number, generation: number, status: number): void {
    const bio = this.dispatch.bioOf(tag);
    if (bio === null || this.generation[tag] !== generation) {
      this.strays++;
      return;
    }
    if (this.traceComplete.on) this.traceComplete.emit(this.id, tag, status, bio.id);
    if (this.mapped[tag] !== 0) {
      this.unmap(bio, tag);
    } else if (bio.op === OP_PASSTHROUGH) {
      // Its completion entry is the one just taken.
      const entry = this.head === 0 ? this.depth - 1 : this.head - 1;
      this.dispatch.complete(tag, this.passthrough.ended(bio, status, this.cq[entry << 2]));
      return;
    } else {
      this.lists.release(tag, bio);
    }
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

  /** What a command has mapped or borrowed. */
  private letGo(bio: Bio, tag: number): void {
    if (this.mapped[tag] !== 0) this.unmap(bio, tag);
    else this.lists.release(tag, bio);
  }

  private unmap(bio: Bio, tag: number): void {
    const iova = this.mapped[tag];
    this.mapped[tag] = 0;
    this.dma.unmapPages(iova, bio.bytes, bio.op === OP_READ ? FROM_DEVICE : TO_DEVICE);
  }
}
