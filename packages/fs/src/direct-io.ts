/**
 * Direct I/O on files: the user's pages are handed to the disk in bios, past the page cache.
 *
 *   both      positions and lengths are whole logical blocks of the disk, addresses aligned for its DMA; else -EINVAL
 *   read      dirty cached pages of the range are written first; holes, unwritten blocks and the rest behind the end read
 *             as zeros; short at the end of the file
 *   write     cached pages of the range are written and dropped first, and dropped again at the end, for those a reader
 *             brought in meanwhile. One that cannot be dropped sends the write through the page cache (-ENOTBLK in the
 *             kernel); one that cannot at the end is stale from now on, which the next fsync reports as -EIO
 *   longer    a write that makes the file longer, or that fills a part of a block without content, is waited for before
 *             anybody else may write; the second begins when all direct I/O of the file has ended
 *
 * A bad page of the buffer fails all of the request, whatever was transferred (O-07, fact 13). Pages are held as the machine
 * says (`Memory.directIoHold`); nobody but fork, copy-on-write and reclaim looks at that. A buffer that is a mapping of a
 * file is a page of its page cache: writeback writes it while the disk fills it (W-02), truncation takes it away.
 * What has to sleep at the end of an asynchronous write is done by a work item (O-06).
 * Left out: `RWF_NOWAIT`, `O_DSYNC` (fsync follows), polled I/O, atomic writes, the inode's lock held shared by readers.
 * Source followed: fs/iomap/direct-io.c, fs/ext4/file.c `ext4_dio_read_iter`, `ext4_dio_write_iter`, mm/filemap.c
 * `kiocb_invalidate_pages`, `kiocb_invalidate_post_direct_write`, `dio_warn_stale_pagecache` (6.18).
 */
import { blkStatusToErrno } from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { PAGE_SIZE, eagerly, settled, writeAndWaitRange } from '@pincushion/mm';
import type { Memory, Mm } from '@pincushion/mm';
import { EFAULT, EINVAL, ENODEV, WorkItem } from '@pincushion/sim';
import type { MaySleep, Task, Thread, World } from '@pincushion/sim';
import { DirectBios, NO_PADDING } from './direct-io-bios';
import type { Padding } from './direct-io-bios';
import { THROUGH_CACHE, dropCached, readyCache, writeThroughCache } from './direct-io-cache';
import type { DirectFile, FileMapping } from './direct-io-file';
import { DirectRequest } from './direct-io-request';

/** Says that a request needs more than one bio and a look. */
const UNUSUAL = 1;

/** Since the start; for reports. */
export interface FileDirectIoCounts {
  /** Writes that went through the page cache because a cached page could not be dropped. */
  throughCache: number;
  /** Pages that were stale in the cache after a write. */
  staleCaches: number;
  /** Ends of asynchronous writes that were left to a work item. */
  endsDeferred: number;
}

/** The direct I/O of one process on one file. */
export class FileDirectIo {
  /**
   * Called once for each request that `submit` took, with its token and the bytes or -errno. Runs in the context of completion,
   * often hardirq, and must not sleep. It can come before `submit` has returned.
   */
  onDone: (token: number, result: number) => undefined = () => undefined;
  readonly counts: FileDirectIoCounts = { throughCache: 0, staleCaches: 0, endsDeferred: 0 };

  private readonly memory: Memory;
  private readonly world: World;
  private readonly bios: DirectBios;
  private readonly blockMask: number;
  private readonly addressMask: number;
  private readonly requests: DirectRequest[] = [];
  private readonly spare: DirectRequest[] = [];
  private readonly toEnd: DirectRequest[] = [];
  private readonly endWork: WorkItem;
  private readonly wake: (thread: Thread) => void;
  private readonly found: FileMapping = { kind: 'hole', sector: 0, length: 0 };
  private readonly zeros = new Uint8Array(PAGE_SIZE);

  /** @param mm whose memory the buffers lie in @param owner name of the pins' owner in the ledger */
  constructor(
    private readonly file: DirectFile,
    private readonly mm: Mm,
    readonly owner: string,
  ) {
    const { disk, mapping } = file;
    this.memory = mapping.memory;
    this.world = this.memory.world;
    this.blockMask = disk.limits.logicalBlockBytes - 1;
    this.addressMask = (disk.limits.dmaAlignmentBytes ?? disk.limits.logicalBlockBytes) - 1;
    this.wake = (thread) => {
      this.world.wake(thread);
    };
    this.bios = new DirectBios(this.memory, mm, disk, owner, (bio) => {
      this.ended(bio);
      return undefined;
    });
    this.endWork = new WorkItem('direct I/O: ends of writes', () => this.endQueued());
  }

  /** Reads up to `bytes` bytes at `position` into the user buffer: bytes, 0 at the end, -errno. Task context, may sleep. */
  read(address: number, bytes: number, position: number): MaySleep {
    return eagerly(this.world, 'direct read', this.transfer(false, address, bytes, position));
  }

  /** Writes the user buffer to `position`: bytes or -errno. Task context, may sleep. */
  write(address: number, bytes: number, position: number): MaySleep {
    return eagerly(this.world, 'direct write', this.transfer(true, address, bytes, position));
  }

  /**
   * As `read` and `write`, and goes on when the I/O is under way; `onDone` follows. Task context: pinning and the page cache
   * may make it sleep, and a write that makes the file longer is waited for. 0 when taken, else -errno.
   */
  submit(isWrite: boolean, address: number, bytes: number, position: number, cpu: number, token: number): MaySleep {
    const taken = this.submitUsual(isWrite, address, bytes, position, cpu, token);
    if (taken !== UNUSUAL) return taken;
    return eagerly(this.world, 'direct I/O', this.start(isWrite, address, bytes, position, cpu, token));
  }

  /** Requests that were taken and are not done. */
  get inFlight(): number {
    return this.requests.length - this.spare.length;
  }

  // ---- the usual request -------------------------------------------------------------------------------------------------

  /**
   * One bio over blocks that have content, of a file that is not cached and that nobody changes: no generator is made for it.
   * UNUSUAL: nothing was done.
   */
  private submitUsual(
    isWrite: boolean,
    address: number,
    bytes: number,
    position: number,
    cpu: number,
    token: number,
  ): MaySleep {
    const { file, found } = this;
    if (file.mapping.pages.size > 0 || file.isLocked || !(bytes > 0 && bytes <= this.bios.oneBioBytes)) return UNUSUAL;
    if (position + bytes > file.size || this.refusal(address, bytes, position) !== 0) return UNUSUAL;
    if (isWrite && (position % file.blockBytes !== 0 || bytes % file.blockBytes !== 0)) return UNUSUAL;
    file.mapRange(position, bytes, found);
    if (found.kind !== 'mapped' || found.length < bytes) return UNUSUAL;
    const { sector } = found;
    const request = this.take(isWrite, address, bytes, position);
    request.cpu = cpu;
    request.token = token;
    request.isAsync = true;
    request.fileSize = file.size;
    // From here on truncation waits, so the blocks stay the file's while the buffer is faulted in.
    file.inFlight.begin();
    const bio = this.bios.alloc(request);
    const adding = this.bios.addPages(bio, address, bytes);
    if (typeof adding === 'number') return this.sendUsual(request, bio, adding, sector);
    return eagerly(this.world, 'direct I/O', this.sendLater(request, bio, adding, sector));
  }

  private *sendLater(request: DirectRequest, bio: Bio, adding: MaySleep, sector: number) {
    const { isWrite, address, bytes, position, cpu, token } = request;
    const sent = this.sendUsual(request, bio, yield* settled(adding), sector);
    return sent === UNUSUAL ? yield* this.start(isWrite, address, bytes, position, cpu, token) : sent;
  }

  /** 0; UNUSUAL when the buffer is not there to its end, and nothing is held any more. */
  private sendUsual(request: DirectRequest, bio: Bio, added: number, sector: number): number {
    if (added !== request.bytes) {
      this.bios.giveUp(bio);
      this.file.inFlight.end();
      this.give(request);
      return UNUSUAL;
    }
    this.bios.send(request, bio, sector);
    if (request.drop(this.wake)) this.lastDropped(request);
    return 0;
  }

  // ---- a request ---------------------------------------------------------------------------------------------------------

  private *transfer(isWrite: boolean, address: number, bytes: number, position: number) {
    const refused = this.refusal(address, bytes, position);
    if (refused !== 0 || bytes === 0) return refused;
    const request = this.take(isWrite, address, bytes, position);
    request.cpu = this.world.contexts.cpu;
    return yield* this.goOn(request, yield* this.begin(request));
  }

  private *start(isWrite: boolean, address: number, bytes: number, position: number, cpu: number, token: number) {
    const refused = this.refusal(address, bytes, position);
    if (refused !== 0) return refused;
    let result = 0;
    if (bytes > 0) {
      const request = this.take(isWrite, address, bytes, position);
      request.cpu = cpu;
      request.token = token;
      request.isAsync = true;
      const begun = yield* this.begin(request);
      if (begun < 0) return begun;
      if (begun === 0 && !request.isExclusive) return 0;
      result = yield* this.goOn(request, begun);
    }
    this.onDone(token, result);
    return 0;
  }

  /** What follows `begin` for who waits: bytes or -errno. */
  private *goOn(request: DirectRequest, begun: number) {
    if (begun < 0) return begun;
    if (begun === THROUGH_CACHE) {
      const { address, bytes, position } = request;
      this.give(request);
      this.counts.throughCache++;
      return yield* writeThroughCache(this.file, this.mm, address, bytes, position);
    }
    yield* request.ended();
    const { isExclusive } = request;
    const result = yield* this.finish(request);
    if (isExclusive) this.file.unlock();
    return result;
  }

  /** `iomap_dio_bio_iter`: 0, -EINVAL, -ENODEV. */
  private refusal(address: number, bytes: number, position: number): number {
    if (!(bytes >= 0 && position >= 0 && address >= 0)) return -EINVAL;
    if (((bytes | (position % PAGE_SIZE)) & this.blockMask) !== 0 || ((address % PAGE_SIZE) & this.addressMask) !== 0) {
      return -EINVAL;
    }
    return this.file.disk.gone ? -ENODEV : 0;
  }

  /**
   * Submits a request with the inode's lock held, which stays so when the request is exclusive. 0: its end follows.
   * THROUGH_CACHE: nothing was submitted, and the page cache has to do it. -errno: nothing could be, and the request is over.
   */
  private *begin(request: DirectRequest) {
    const { file } = this;
    yield* settled(file.lock());
    this.decide(request);
    if (request.padsBlocks) yield* settled(file.inFlight.wait());
    file.inFlight.begin();
    request.fileSize = file.size;
    const ready = yield* readyCache(file.mapping, request);
    if (ready < 0) request.fail(ready);
    else if (ready === 0) yield* this.submitAll(request);
    if (ready === THROUGH_CACHE || (request.error < 0 && request.size === 0 && request.references === 1)) {
      if (request.isWrite) yield* settled(file.writeFailed(request.position, request.bytes));
      file.inFlight.end();
      file.unlock();
      return ready === THROUGH_CACHE ? THROUGH_CACHE : this.over(request);
    }
    if (!request.isExclusive) file.unlock();
    if (request.drop(this.wake)) this.lastDropped(request);
    return 0;
  }

  /**
   * Writes that nobody else may write beside, and that are waited for. One that zeroes the rest of a block begins when nothing is in
   * flight: a write that has just given the block its content would be zeroed with it. `ext4_dio_write_checks`.
   */
  private decide(request: DirectRequest): void {
    const { file } = this;
    const { isWrite, position, bytes } = request;
    if (!isWrite) return;
    const isUnaligned = position % file.blockBytes !== 0 || bytes % file.blockBytes !== 0;
    request.padsBlocks = isUnaligned && !this.isOverwrite(position, bytes);
    request.isExclusive = request.padsBlocks || position + bytes > file.size;
    if (request.isExclusive) request.isAsync = false;
  }

  /** Whether all of a range has its blocks, with content, in a row. `ext4_overwrite_io`. */
  private isOverwrite(position: number, bytes: number): boolean {
    this.file.mapRange(position, bytes, this.found);
    return this.found.kind === 'mapped' && this.found.length >= bytes;
  }

  /** `iomap_iter` and `iomap_dio_iter`, range by range. An error is noted in the request. */
  private *submitAll(request: DirectRequest) {
    const { isWrite, position, bytes, address, fileSize } = request;
    const { file, found } = this;
    let at = 0;
    while (at < bytes && request.error === 0) {
      if (!isWrite && position + at >= fileSize) return;
      file.mapRange(position + at, bytes - at, found);
      if (found.kind === 'delayed' || (isWrite && found.kind === 'hole')) {
        const error = yield* this.makeRoom(request, position + at, found);
        if (error < 0) request.fail(error);
        continue;
      }
      const { kind, sector, length } = found;
      let done: number;
      if (kind === 'mapped' || (isWrite && kind === 'unwritten')) {
        const isNew = kind === 'unwritten';
        if (isNew) request.fillsNew = true;
        done = yield* this.bios.submitRange(
          request,
          address + at,
          length,
          sector,
          isNew ? this.paddingOf(position + at, length) : NO_PADDING,
        );
      } else done = yield* this.zero(address + at, length);
      if (done < 0) {
        request.fail(done);
        return;
      }
      if (kind !== 'mapped' && !isWrite) request.size += length;
      at += length;
    }
  }

  /** Blocks for a hole that is written to; what a mapping has dirtied meanwhile is written out. 0 or -errno. */
  private *makeRoom(request: DirectRequest, position: number, { kind, length }: FileMapping) {
    const { file } = this;
    request.fillsNew = true;
    if (kind === 'hole') return yield* settled(file.allocate(position, length));
    const first = Math.floor(position / PAGE_SIZE);
    return yield* settled(writeAndWaitRange(file.mapping, first, Math.ceil((position + length) / PAGE_SIZE)));
  }

  /** What of its blocks a range leaves out, before it and behind it. */
  private paddingOf(position: number, length: number): Padding {
    const { blockBytes } = this.file;
    const after = (position + length) % blockBytes;
    return { before: position % blockBytes, after: after === 0 ? 0 : blockBytes - after };
  }

  /** `iomap_dio_hole_iter`: zeros through the process's mapping. 0 or -EFAULT. */
  private *zero(address: number, length: number) {
    for (let done = 0; done < length;) {
      const n = Math.min(PAGE_SIZE, length - done);
      const got = yield* settled(this.mm.write(address + done, this.zeros, 0, n));
      if (got < n) return -EFAULT;
      done += n;
    }
    return 0;
  }

  // ---- its end -----------------------------------------------------------------------------------------------------------

  /** endIo of every bio: the pages go back, the first error counts (`iomap_dio_bio_end_io`). */
  private ended(bio: Bio): void {
    const request = this.requests[bio.privateData];
    if (bio.status !== 0) request.fail(blkStatusToErrno(bio.status));
    this.bios.release(bio);
    if (request.drop(this.wake)) this.lastDropped(request);
  }

  /** The last reference is gone: who submitted and waits goes on himself; else here, or in a work item (O-06). */
  private lastDropped(request: DirectRequest): void {
    if (!request.isAsync) return;
    const needsTask = request.fillsNew || request.error !== 0 || this.file.mapping.pages.size > 0;
    if (!request.isWrite || !needsTask) {
      const { token } = request;
      const result = this.resultOf(request);
      this.file.inFlight.end();
      this.give(request);
      this.onDone(token, result);
      return;
    }
    this.counts.endsDeferred++;
    this.toEnd.push(request);
    this.world.work.queue(this.endWork);
  }

  private *endQueued(): Task {
    for (let request = this.toEnd.shift(); request !== undefined; request = this.toEnd.shift()) {
      const { token } = request;
      const result = yield* this.finish(request);
      this.onDone(token, result);
    }
  }

  /** `iomap_dio_complete`: the result, and the request is free. */
  private *finish(request: DirectRequest) {
    const { file } = this;
    const { isWrite, position, size } = request;
    if (isWrite) {
      const error = yield* settled(
        request.error === 0 ? file.written(position, size) : file.writeFailed(position, request.bytes),
      );
      if (error < 0) request.fail(error);
      if (size > 0 && (yield* dropCached(file.mapping, position, size)) < 0) this.counts.staleCaches++;
    }
    const result = this.resultOf(request);
    file.inFlight.end();
    this.give(request);
    return result;
  }

  /** The request ended before anything was given to the disk. */
  private over(request: DirectRequest): number {
    const { error } = request;
    this.give(request);
    return error;
  }

  /** Bytes, short at the end of the file as it was, or the error. */
  private resultOf({ isWrite, position, size, error, fileSize }: DirectRequest): number {
    if (error !== 0) return error;
    return isWrite ? size : Math.max(0, Math.min(size, fileSize - position));
  }

  private take(isWrite: boolean, address: number, bytes: number, position: number): DirectRequest {
    const request = this.spare.pop() ?? this.another();
    request.begin(isWrite, address, bytes, position);
    return request;
  }

  private another(): DirectRequest {
    const request = new DirectRequest(this.requests.length, `direct I/O of ${this.owner} on ${this.file.mapping.name}`);
    this.requests.push(request);
    return request;
  }

  private give(request: DirectRequest): void {
    this.spare.push(request);
  }
}
