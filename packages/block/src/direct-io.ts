/**
 * Direct I/O of a process on a raw disk: the user's pages are pinned, handed to the device in bios and given back at the
 * end (O-01). No page cache, no copy.
 *
 * A request becomes as many bios as the limits of the disk ask for, all in flight at once; it is done once, when the last
 * has ended, with the bytes or with the first error. One that fits a bio is that bio and nothing else, as in the kernel's
 * __blkdev_direct_IO_async; a longer one has a slot, where its bios count (struct blkdev_dio). `submit` is a plain
 * function with a callback, for traces and jobs; `read` and `write` are tasks, for programs.
 *
 * ```
 * submit ── pin ── bio ─ submitBio ─┐
 *        ├─ pin ── bio ─ submitBio ─┤   interrupt: unpin (dirty), last one: onDone(token, bytes | -errno)
 *        └─ …                       ┘
 * ```
 * The pages of a bio go back before `onDone` of its request is called; the kernel calls ki_complete first.
 * Left out on purpose: vectored buffers, polling, the page cache's invalidation.
 * Source: Linux 6.18 block/fops.c (__blkdev_direct_IO, __blkdev_direct_IO_async, blkdev_bio_end_io,
 * blkdev_dio_invalid), block/ioctl.c.
 */
import { FOLL_PCI_P2PDMA, PAGE_SIZE } from '@pincushion/mm';
import type { Memory, Mm } from '@pincushion/mm';
import { Context, EINVAL, EIO, ENODEV, ENOSPC, WaitQueue, sleeping } from '@pincushion/sim';
import type { Blocker, ContextStack, MaySleep, Task, World } from '@pincushion/sim';
import { BioOp, REQ_SYNC } from './bio';
import type { Bio } from './bio';
import { BioPool } from './bio-pool';
import type { Disk } from './disk';
import { bioCheckPagesDirty, bioPutPages, bioSetPagesDirty } from './release';
import { blkStatusToErrno } from './status';
import { submitBio } from './submit';
import { bioAddUserPages } from './user-buffer';

/** Imported bindings are getters once compiled; the hot functions read constants of the module. */
const OP_READ = BioOp.read;
const OP_WRITE = BioOp.write;
const SYNC = REQ_SYNC;
const TASK = Context.task;
const OFFSET_MASK = PAGE_SIZE - 1;
/** Pages of the largest request that the kernel puts into one bio (BIO_MAX_VECS). */
const BIO_MAX_PAGES = 256;

export class DirectIo {
  /**
   * Called once for each request that `submit`, `flush`, `discard` or `writeZeroes` took, with its token and the bytes
   * transferred (0 for a flush) or a negative errno. Runs in the context of completion, usually hardirq, and must not
   * sleep; what it wants to submit it hands to a handler or a thread in task context. It can come before `submit` has
   * returned when the disk ends bios at once.
   */
  onDone: (token: number, result: number) => undefined = () => undefined;

  private readonly world: World;
  private readonly contexts: ContextStack;
  private readonly pool: BioPool;
  /** FOLL_PCI_P2PDMA when the disk takes memory of other devices, else 0. */
  private readonly peerFlag: number;
  private readonly ownerId: number;
  private readonly blockBytes: number;
  private readonly blockMask: number;
  private readonly addressMask: number;
  /** Bytes that the pages of one bio hold. */
  private readonly bioSpan: number;
  /** endIo of a bio that is a whole request, and of one that is part of a request. */
  private readonly wholeEndIo: (bio: Bio) => undefined;
  private readonly endIo: (bio: Bio) => undefined;

  /**
   * Requests of several bios and of programs, by slot: caller's token, references (bios in flight and the submission),
   * bytes taken, first error.
   */
  private tokens = new Float64Array(64);
  private references = new Int32Array(64);
  private bytesTaken = new Float64Array(64);
  private errors = new Int32Array(64);
  /** 1: a program waits for the request; its token is a ticket. */
  private programs = new Uint8Array(64);
  private freeSlots = new Int32Array(64);
  private freeCount = 0;
  private requests = 0;

  private readonly results = new Map<number, number>();
  private readonly programsWait: WaitQueue;
  private nextTicket = 1;

  /** @param mm whose memory the buffers lie in @param owner name of the pins' owner in the ledger */
  constructor(
    readonly memory: Memory,
    readonly disk: Disk,
    readonly mm: Mm,
    readonly owner: string,
  ) {
    const limits = disk.limits;
    this.world = memory.world;
    this.contexts = memory.world.contexts;
    this.pool = new BioPool(memory, limits.maxPages);
    this.ownerId = memory.ledger.owner(owner);
    this.peerFlag = limits.pciP2pdma === true && memory.pciFrames > 0 ? FOLL_PCI_P2PDMA : 0;
    this.blockBytes = limits.logicalBlockBytes;
    this.blockMask = limits.logicalBlockBytes - 1;
    this.addressMask = (limits.dmaAlignmentBytes ?? limits.logicalBlockBytes) - 1;
    this.bioSpan = limits.maxPages * PAGE_SIZE;
    this.wholeEndIo = (bio) => {
      this.wholeEnded(bio);
      return undefined;
    };
    this.endIo = (bio) => {
      this.bioEnded(bio);
      return undefined;
    };
    this.programsWait = new WaitQueue(this.world, `direct I/O of ${owner} on ${disk.name}`);
    for (let slot = 63; slot >= 0; slot--) this.freeSlots[this.freeCount++] = slot;
  }

  /**
   * Reads or writes `bytes` bytes at `sector` to or from the user buffer at `address`. Task context, since pinning may
   * sleep; the result is a task only if a page has to be faulted in and that has to wait.
   * @param op BioOp.read or BioOp.write @param bytes whole logical blocks @param sector in units of 512 bytes, at a block
   * @param cpu that submits @param token given to `onDone`
   * @returns 0 when taken (`onDone` follows), else -errno (`onDone` does not): -EINVAL for what is not aligned, -ENOSPC for
   * a write at the end of the disk, -ENODEV when the device is gone, the errno of the first page of a bad buffer. A task
   * ends with the same. A read at the end is taken and ends with 0; a request across the end is short.
   */
  submit(op: number, address: number, bytes: number, sector: number, cpu: number, token: number): MaySleep {
    if (op !== OP_READ && op !== OP_WRITE) return -EINVAL;
    if (this.contexts.current !== TASK) this.contexts.mightSleep('direct I/O');
    if (!this.fitsBio(address, bytes, sector)) return this.begin(op, address, bytes, sector, cpu, token, 0);
    const bio = this.pool.alloc();
    bio.op = op;
    const added = bioAddUserPages(
      bio,
      this.memory,
      this.mm,
      address,
      bytes,
      this.blockBytes,
      this.ownerId,
      this.peerFlag,
    );
    if (added !== bytes) return this.submitPart(bio, added, address, bytes, sector, cpu, token);
    bio.privateData = token;
    bio.endIo = this.wholeEndIo;
    this.requests++;
    this.send(bio, sector, cpu);
    return 0;
  }

  /** Makes what was written durable (blkdev_issue_flush). Results as `submit`, never a task. Any context. */
  flush(cpu: number, token: number): number {
    if (this.disk.gone) return -ENODEV;
    const slot = this.takeSlot(token, 0);
    this.startEmptyBio(slot, BioOp.flush, 0, 0, cpu);
    this.drop(slot);
    return 0;
  }

  /** Tells the device that a range is unused (BLKDISCARD). -EINVAL when it is not aligned or beyond the end. Any context. */
  discard(sector: number, sectors: number, cpu: number, token: number): number {
    const most = this.disk.limits.maxDiscardBytes ?? Number.MAX_SAFE_INTEGER;
    return this.range(BioOp.discard, sector, sectors, most, cpu, token, 0);
  }

  /** Zeroes a range without a buffer (BLKZEROOUT). -EINVAL when it is not aligned or beyond the end. Any context. */
  writeZeroes(sector: number, sectors: number, cpu: number, token: number): number {
    const most = this.disk.limits.maxWriteZeroesBytes ?? Number.MAX_SAFE_INTEGER;
    return this.range(BioOp.writeZeroes, sector, sectors, most, cpu, token, 0);
  }

  /** Reads and waits: bytes, perhaps fewer at the end of the disk, or -errno. Task context. */
  read(address: number, bytes: number, sector: number): Task<number> {
    return sleeping(this.world, 'direct read', () => this.transfer(OP_READ, address, bytes, sector));
  }

  /** Writes and waits: bytes or -errno. Task context. */
  write(address: number, bytes: number, sector: number): Task<number> {
    return sleeping(this.world, 'direct write', () => this.transfer(OP_WRITE, address, bytes, sector));
  }

  /** Flushes and waits: 0 or -errno. Task context. */
  sync(): Task<number> {
    return sleeping(this.world, 'flush', () => this.flushAndWait());
  }

  /** Requests taken and not done. */
  get inFlight(): number {
    return this.requests;
  }

  /** Bios of these requests; also those whose pages wait for a work item to dirty them. */
  get liveBios(): number {
    return this.pool.live;
  }

  /** One bio takes the whole request. Everything else is for `begin`, also what is refused. */
  private fitsBio(address: number, bytes: number, sector: number): boolean {
    const disk = this.disk;
    const offset = address & OFFSET_MASK;
    return (
      bytes > 0 &&
      bytes <= disk.maxBioBytes &&
      offset + bytes <= this.bioSpan &&
      ((bytes | (sector << 9)) & this.blockMask) === 0 &&
      (offset & this.addressMask) === 0 &&
      address >= 0 &&
      sector >= 0 &&
      sector + (bytes >>> 9) <= disk.capacitySectors &&
      !disk.gone
    );
  }

  /** The buffer of a request for one bio was not there at once, or is bad somewhere: goes on with a slot. */
  private submitPart(
    bio: Bio,
    added: MaySleep,
    address: number,
    bytes: number,
    sector: number,
    cpu: number,
    token: number,
  ): MaySleep {
    const slot = this.takeSlot(token, 0);
    if (typeof added !== 'number') return this.pumpLater(slot, bio, added, address, bytes, sector, cpu);
    if (added < 0) return this.refusedBuffer(slot, bio, added, bytes);
    const op = bio.op;
    this.start(slot, bio, sector, cpu);
    return this.pump(slot, op, address + added, bytes - added, sector + added / 512, cpu);
  }

  private begin(
    op: number,
    address: number,
    bytes: number,
    sector: number,
    cpu: number,
    token: number,
    program: number,
  ): MaySleep {
    if (this.disk.gone) return -ENODEV;
    if (!(bytes >= 0 && sector >= 0 && address >= 0)) return -EINVAL;
    // blkdev_dio_invalid. Only low bits decide: those of an int32 are cheaper than those of a large double.
    const offset = address & OFFSET_MASK;
    if (((bytes | (sector << 9)) & this.blockMask) !== 0 || (offset & this.addressMask) !== 0) return -EINVAL;
    const capacity = this.disk.capacitySectors;
    let left = bytes;
    if (sector + bytes / 512 > capacity) {
      if (sector >= capacity && op === OP_WRITE && bytes > 0) return -ENOSPC;
      left = sector >= capacity ? 0 : (capacity - sector) * 512;
    }
    const slot = this.takeSlot(token, program);
    if (left === 0) {
      // A closure and no handler: handlers live as long as the world, and would keep a disk that is gone.
      this.world.after(0, Context.softirq, () => {
        this.drop(slot);
        return undefined;
      });
      return 0;
    }
    return this.pump(slot, op, address, left, sector, cpu);
  }

  /** Pins and submits bio after bio. The submission holds a reference, so the request cannot be done before the end. */
  private pump(slot: number, op: number, address: number, left: number, sector: number, cpu: number): MaySleep {
    const maxBytes = this.disk.limits.maxBytes;
    while (left > 0) {
      const bio = this.pool.alloc();
      bio.op = op;
      const wanted = left <= maxBytes ? left : maxBytes;
      const added = bioAddUserPages(
        bio,
        this.memory,
        this.mm,
        address,
        wanted,
        this.blockBytes,
        this.ownerId,
        this.peerFlag,
      );
      if (typeof added !== 'number') return this.pumpLater(slot, bio, added, address, left, sector, cpu);
      if (added < 0) return this.refusedBuffer(slot, bio, added, left);
      this.start(slot, bio, sector, cpu);
      address += added;
      left -= added;
      sector += added / 512;
    }
    this.drop(slot);
    return 0;
  }

  private *pumpLater(
    slot: number,
    bio: Bio,
    adding: Task<number>,
    address: number,
    left: number,
    sector: number,
    cpu: number,
  ): Task<number> {
    const added = yield* adding;
    if (added < 0) return this.refusedBuffer(slot, bio, added, left);
    const op = bio.op;
    this.start(slot, bio, sector, cpu);
    const rest = this.pump(slot, op, address + added, left - added, sector + added / 512, cpu);
    return typeof rest === 'number' ? rest : yield* rest;
  }

  /** Sends a bio as part of a request. */
  private start(slot: number, bio: Bio, sector: number, cpu: number): void {
    bio.privateData = slot;
    bio.endIo = this.endIo;
    this.references[slot]++;
    this.bytesTaken[slot] += bio.bytes;
    this.send(bio, sector, cpu);
  }

  private send(bio: Bio, sector: number, cpu: number): void {
    bio.sector = sector;
    bio.cpu = cpu;
    if (bio.op === OP_READ) bioSetPagesDirty(bio, this.memory);
    else bio.flags = SYNC;
    submitBio(this.disk, bio);
  }

  /**
   * The buffer is bad from here on (O-07). Nothing taken yet: the errno. Something in flight: a request that the kernel
   * would have put into one bio ends short; a larger one ends with -EIO, as __blkdev_direct_IO marks the bio that failed.
   */
  private refusedBuffer(slot: number, bio: Bio, errno: number, left: number): number {
    this.pool.free(bio);
    if (this.bytesTaken[slot] === 0) {
      this.giveSlot(slot);
      return errno;
    }
    const whole = this.bytesTaken[slot] + left;
    if (whole > BIO_MAX_PAGES * PAGE_SIZE && this.errors[slot] === 0) this.errors[slot] = -EIO;
    this.drop(slot);
    return 0;
  }

  private range(
    op: number,
    sector: number,
    sectors: number,
    mostBytes: number,
    cpu: number,
    token: number,
    program: number,
  ): number {
    if (this.disk.gone) return -ENODEV;
    if (!(sector >= 0 && sectors > 0 && sector + sectors <= this.disk.capacitySectors)) return -EINVAL;
    if ((((sector | sectors) * 512) & this.blockMask) !== 0) return -EINVAL;
    const slot = this.takeSlot(token, program);
    const most = mostBytes - (mostBytes % this.blockBytes);
    let at = sector;
    for (let left = sectors * 512; left > 0;) {
      const bytes = left <= most ? left : most;
      this.startEmptyBio(slot, op, at, bytes, cpu);
      at += bytes / 512;
      left -= bytes;
    }
    this.drop(slot);
    return 0;
  }

  private startEmptyBio(slot: number, op: number, sector: number, bytes: number, cpu: number): void {
    const bio = this.pool.alloc();
    bio.op = op;
    bio.bytes = bytes;
    bio.sector = sector;
    bio.cpu = cpu;
    bio.flags = SYNC;
    bio.privateData = slot;
    bio.endIo = this.endIo;
    this.references[slot]++;
    this.bytesTaken[slot] += bytes;
    submitBio(this.disk, bio);
  }

  /** endIo of a bio that is a whole request: its pages go back, the request is done. */
  private wholeEnded(bio: Bio): void {
    const token = bio.privateData;
    const status = bio.status;
    const result = status === 0 ? bio.bytes : blkStatusToErrno(status);
    this.giveBack(bio);
    this.requests--;
    this.onDone(token, result);
  }

  /** endIo of the other bios: the pages go back, the first error counts, the last one ends the request. */
  private bioEnded(bio: Bio): void {
    const slot = bio.privateData;
    if (bio.status !== 0 && this.errors[slot] === 0) this.errors[slot] = blkStatusToErrno(bio.status);
    this.giveBack(bio);
    this.drop(slot);
  }

  /** The pages of an ended bio go back (B-07, B-09), and so does the bio. */
  private giveBack(bio: Bio): void {
    if (bio.op === OP_READ) {
      bioCheckPagesDirty(bio, this.memory);
    } else {
      bioPutPages(bio, this.memory);
      this.pool.free(bio);
    }
  }

  /** Drops one reference of a request; with the last it is done. */
  private drop(slot: number): void {
    if (--this.references[slot] > 0) return;
    const error = this.errors[slot];
    const result = error !== 0 ? error : this.bytesTaken[slot];
    const token = this.tokens[slot];
    const program = this.programs[slot];
    this.giveSlot(slot);
    if (program !== 0) {
      this.results.set(token, result);
      this.programsWait.wakeAll();
    } else {
      this.onDone(token, result);
    }
  }

  private *transfer(op: number, address: number, bytes: number, sector: number): Generator<Blocker, number, undefined> {
    const ticket = this.nextTicket++;
    const begun = this.begin(op, address, bytes, sector, this.world.contexts.cpu, ticket, 1);
    const taken = typeof begun === 'number' ? begun : yield* begun;
    return taken < 0 ? taken : yield* this.resultOf(ticket);
  }

  private *flushAndWait(): Generator<Blocker, number, undefined> {
    if (this.disk.gone) return -ENODEV;
    const ticket = this.nextTicket++;
    const slot = this.takeSlot(ticket, 1);
    this.startEmptyBio(slot, BioOp.flush, 0, 0, this.world.contexts.cpu);
    this.drop(slot);
    return yield* this.resultOf(ticket);
  }

  private *resultOf(ticket: number): Generator<Blocker, number, undefined> {
    yield* this.programsWait.waitUntil(() => this.results.has(ticket));
    const result = this.results.get(ticket) ?? -EIO;
    this.results.delete(ticket);
    return result;
  }

  private takeSlot(token: number, program: number): number {
    if (this.freeCount === 0) this.widen();
    const slot = this.freeSlots[--this.freeCount];
    this.tokens[slot] = token;
    this.references[slot] = 1;
    this.bytesTaken[slot] = 0;
    this.errors[slot] = 0;
    this.programs[slot] = program;
    this.requests++;
    return slot;
  }

  private giveSlot(slot: number): void {
    this.freeSlots[this.freeCount++] = slot;
    this.requests--;
  }

  private widen(): void {
    const old = this.tokens.length;
    this.tokens = widened(this.tokens, new Float64Array(old * 2));
    this.bytesTaken = widened(this.bytesTaken, new Float64Array(old * 2));
    this.references = widened(this.references, new Int32Array(old * 2));
    this.errors = widened(this.errors, new Int32Array(old * 2));
    this.programs = widened(this.programs, new Uint8Array(old * 2));
    this.freeSlots = new Int32Array(old * 2);
    for (let slot = old * 2 - 1; slot >= old; slot--) this.freeSlots[this.freeCount++] = slot;
  }
}

function widened<A extends Float64Array | Int32Array | Uint8Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
