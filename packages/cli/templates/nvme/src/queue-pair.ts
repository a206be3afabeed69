/**
 * The driver's side of the queue pair: bios become commands, completions end bios.
 *
 *     bio -> tag -> its pages mapped for DMA -> 64 bytes into the submission ring -> tail doorbell
 *     interrupt -> entries of this round's phase -> unmapped -> tag free -> bioEndIo -> head doorbell
 *
 * The identifier of a command is its tag and, above it, how often the tag was used, so that a completion which comes twice does not
 * end the next command under the same tag. All functions are for any context and allocate nothing.
 */
import type { Bio, DmaMapper, ManagedCoherent, Registers } from '@pincushion/driver';
import { BioOp, BlkStatus, DmaDirection, HardwareQueue, bioEndIo } from '@pincushion/driver';
import { COMMAND_WORDS, COMPLETION_WORDS, ENTRIES, Opcode, PAGES_MAX, Register, Status } from './my-device.hardware';

const PAGE = 4096;
/** A ring of n entries holds n - 1. */
const TAGS = ENTRIES - 1;
const TAG_MASK = 0xff;
const ROUND_MASK = 0xff;
/** Of the PRP list of each tag; no list crosses a page. */
export const LIST_BYTES = PAGES_MAX * 8;

export class QueuePair {
  private readonly tags = new HardwareQueue(TAGS);
  /** By tag: how often it was used, and the address of its mapping, 0 for none. */
  private readonly rounds = new Uint8Array(TAGS);
  private readonly mapped = new Float64Array(TAGS);
  private tail = 0;
  private head = 0;
  private phase = 1;
  private live = false;

  constructor(
    private readonly registers: Registers,
    private readonly dma: DmaMapper,
    private readonly submissions: ManagedCoherent,
    private readonly completions: ManagedCoherent,
    private readonly lists: ManagedCoherent,
  ) {}

  get inFlight(): number {
    return this.tags.inFlight;
  }

  /** Gives the hardware empty rings. */
  start(): void {
    this.completions.words.fill(0);
    this.tail = 0;
    this.head = 0;
    this.phase = 1;
    this.live = true;
    this.registers.write64lohi(Register.submissions, this.submissions.iova);
    this.registers.write64lohi(Register.completions, this.completions.iova);
    this.registers.write32(Register.enable, 1);
  }

  /** The hardware forgets its commands, and all bios end with a status, also those that wait for a tag and those to come. */
  stop(status: number): void {
    this.live = false;
    this.registers.write32(Register.enable, 0);
    this.tags.drain(status);
    for (let tag = 0; tag < TAGS; tag++) {
      const bio = this.tags.bioOf(tag);
      if (bio !== null) this.end(bio, tag, status);
    }
  }

  submit(bio: Bio): void {
    const tag = this.tags.take(bio);
    if (tag < 0) return; // it waits in line
    if (this.live) this.issue(bio, tag);
    else this.end(bio, tag, BlkStatus.offline);
  }

  /** Takes every new completion. Whether there were any. */
  reap(): boolean {
    const { words } = this.completions;
    let any = false;
    for (;;) {
      const last = words[this.head * COMPLETION_WORDS + 3];
      if (((last >>> 16) & 1) !== this.phase || !this.live) break;
      this.head = (this.head + 1) % ENTRIES;
      if (this.head === 0) this.phase ^= 1;
      any = true;
      this.complete(last & TAG_MASK, (last >>> 8) & ROUND_MASK, last >>> 17);
    }
    if (any) this.registers.write32(Register.head, this.head);
    return any;
  }

  private complete(tag: number, round: number, status: number): void {
    const bio = this.tags.bioOf(tag);
    if (bio === null || this.rounds[tag] !== round) return; // came twice
    this.end(bio, tag, status === Status.ok ? BlkStatus.ok : BlkStatus.ioerr);
  }

  private issue(bio: Bio, tag: number): void {
    const { words } = this.submissions;
    const at = this.tail * COMMAND_WORDS;
    words.fill(0, at, at + COMMAND_WORDS);
    let opcode: number = Opcode.flush;
    if (bio.op === BioOp.read || bio.op === BioOp.write) {
      opcode = bio.op === BioOp.read ? Opcode.read : Opcode.write;
      const iova = this.dma.mapPages(bio.pages, 0, bio.pageCount, bio.firstOffset, bio.bytes, directionOf(bio));
      if (iova < 0) {
        this.end(bio, tag, BlkStatus.resource);
        return;
      }
      this.mapped[tag] = iova;
      put(words, at + 6, iova);
      put(words, at + 8, this.secondPointer(tag, iova, bio.bytes));
      put(words, at + 10, bio.sector);
      words[at + 12] = bio.bytes / 512 - 1;
    } else if (bio.op !== BioOp.flush) {
      this.end(bio, tag, BlkStatus.notSupp);
      return;
    }
    this.rounds[tag] = (this.rounds[tag] + 1) & ROUND_MASK;
    words[at] = opcode | (tag << 16) | (this.rounds[tag] << 24);
    this.tail = (this.tail + 1) % ENTRIES;
    this.registers.write32(Register.tail, this.tail);
  }

  /** PRP 2: nothing, the second page, or the list of all but the first. A mapping is one range of bus addresses. */
  private secondPointer(tag: number, iova: number, bytes: number): number {
    const second = iova - (iova % PAGE) + PAGE;
    const end = iova + bytes;
    if (end <= second) return 0;
    if (end <= second + PAGE) return second;
    let at = (tag * LIST_BYTES) / 4;
    for (let page = second; page < end; page += PAGE) {
      put(this.lists.words, at, page);
      at += 2;
    }
    return this.lists.iova + tag * LIST_BYTES;
  }

  /** The bio has ended and its tag is free: the next one that waits is issued first. */
  private end(bio: Bio, tag: number, status: number): void {
    if (this.mapped[tag] !== 0) this.dma.unmapPages(this.mapped[tag], bio.bytes, directionOf(bio));
    this.mapped[tag] = 0;
    const next = this.tags.release(tag);
    if (next !== null) this.submit(next);
    bioEndIo(bio, status);
  }
}

function directionOf(bio: Bio): number {
  return bio.op === BioOp.read ? DmaDirection.fromDevice : DmaDirection.toDevice;
}

function put(words: Int32Array, at: number, value: number): void {
  words[at] = value | 0;
  words[at + 1] = Math.floor(value / 0x1_0000_0000);
}
