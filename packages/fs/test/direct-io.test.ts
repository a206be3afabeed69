import { BioOp, BlkStatus } from '@pincushion/block';
import { EFAULT, EINVAL, EIO, ENODEV, ENOSPC } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import {
  FOLL_WRITE,
  MADV_PAGEOUT,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PG_dirty,
  PROT_READ,
  PROT_WRITE,
  assertMemorySane,
  newPinnedPages,
} from '@pincushion/mm';
import type { MappableFile, MemoryOptions, Mm } from '@pincushion/mm';
import type { FileDirectIo } from '../src/index';
import { blockOf, frameAt, map, mount, plain, opened } from './mounted';
import type { MountOptions } from './mounted';
import { IO_NS, SlowStoreOnDisk, StoreOnDisk } from './slow-disk';

/** A machine with a file system on a slow disk, a file of `pages` pages full of 1, 2, …, and a user buffer. */
function onDisk(pages: number, options: MountOptions & { memory?: Partial<MemoryOptions> } = {}) {
  let store: StoreOnDisk | null = null;
  const machine = mount({ ...options, makeStore: (memory, inner) => (store = new StoreOnDisk(memory, inner)) });
  const { world, mm, fs } = machine;
  const file = opened(fs.create('data'));
  for (let k = 0; k < pages; k++) {
    expect(world.settle(file.write(k * PAGE_SIZE, new Uint8Array(PAGE_SIZE).fill(k + 1), 0, PAGE_SIZE))).toBe(
      PAGE_SIZE,
    );
  }
  expect(world.settle(file.fsync())).toBe(0);
  const buffer = plain(mm.mmap(64 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  const io = file.direct?.(mm, 'prog') as FileDirectIo;
  return {
    ...machine,
    file,
    io,
    buffer,
    store: store as unknown as StoreOnDisk,
    disk: (store as unknown as StoreOnDisk).disk,
  };
}

type OnDisk = ReturnType<typeof onDisk>;

function bytesAt({ world, mm }: { world: OnDisk['world']; mm: Mm }, address: number, n: number): number[] {
  const bytes = new Uint8Array(n);
  expect(world.settle(mm.read(address, bytes))).toBe(n);
  return [...bytes];
}

function fill({ world, mm }: OnDisk, address: number, value: number, n: number): void {
  expect(world.settle(mm.write(address, new Uint8Array(n).fill(value)))).toBe(n);
}

function cached({ world, file }: { world: OnDisk['world']; file: MappableFile }, position: number): number {
  const byte = new Uint8Array(1);
  expect(world.settle(file.read(position, byte, 0, 1))).toBe(1);
  return byte[0];
}

/** Everything was given back. */
function expectClean({ world, memory, io }: OnDisk): void {
  world.run();
  expect(io.inFlight).toBe(0);
  expect(memory.ledger.livePins()).toEqual([]);
  assertMemorySane(memory);
  world.checkAtEnd();
  expect(world.findings.all).toEqual([]);
}

function* wait(result: MaySleep) {
  return typeof result === 'number' ? result : yield* result;
}

describe('a direct read of a file', () => {
  it('comes from the disk into pinned pages, past the page cache', () => {
    const machine = onDisk(4);
    const { world, fs, io, buffer, file, memory, disk } = machine;
    plain(file.fadviseDontneed());
    const before = memory.vmstat.nrFollPinAcquired;
    expect(world.settle(io.read(buffer, 4 * PAGE_SIZE, 0))).toBe(4 * PAGE_SIZE);
    expect([0, 1, 2, 3].map((k) => bytesAt(machine, buffer + k * PAGE_SIZE, 1)[0])).toEqual([1, 2, 3, 4]);
    expect([file.mapping.pages.size, memory.vmstat.nrFollPinAcquired - before]).toEqual([0, 4]);
    expect(memory.writeback.counts.biosDeferred).toBe(0); // dirty before the disk writes (B-08)
    const sector = (blockOf(fs, 'data', 0) * PAGE_SIZE) / 512;
    expect(disk.ios).toEqual([{ op: BioOp.read, sector, bytes: 4 * PAGE_SIZE }]);
    expectClean(machine);
  });

  it.each(['get', 'pin-longterm-only'] as const)('takes plain references when the machine says so (%s)', (directIo) => {
    const machine = onDisk(2, { memory: { directIo } });
    const { world, io, buffer, memory, mm } = machine;
    fill(machine, buffer, 9, 2 * PAGE_SIZE);
    const pfn = frameAt(mm, buffer);
    const reading = world.spawn(
      (function* () {
        return yield* wait(io.read(buffer, 2 * PAGE_SIZE, 0));
      })(),
      { name: 'read' },
    );
    world.run({ untilNs: world.now + IO_NS / 2 });
    expect([memory.frames.refcount[pfn], memory.vmstat.nrFollPinAcquired]).toEqual([2, 0]);
    world.run();
    expect([reading.result, memory.frames.refcount[pfn]]).toEqual([2 * PAGE_SIZE, 1]);
    expectClean(machine);
  });

  it.each([
    ['position', 0, 512, 100],
    ['length', 0, 700, 0],
    ['address', 8, 512, 0],
  ])('is refused when the %s is not aligned to the logical block (EINVAL)', (_what, offset, bytes, position) => {
    const machine = onDisk(1);
    const { world, io, buffer } = machine;
    expect(world.settle(io.read(buffer + offset, bytes, position))).toBe(-EINVAL);
    expect(world.settle(io.write(buffer + offset, bytes, position))).toBe(-EINVAL);
    expectClean(machine);
  });

  it('is short at the end of the file and 0 behind it', () => {
    const machine = onDisk(2);
    const { world, io, buffer, file } = machine;
    world.settle(file.truncate(PAGE_SIZE + 1000));
    expect(world.settle(io.read(buffer, 4 * PAGE_SIZE, 0))).toBe(PAGE_SIZE + 1000);
    expect(bytesAt(machine, buffer + PAGE_SIZE + 998, 2)).toEqual([2, 2]);
    expect([2, 3].map((k) => world.settle(io.read(buffer, 512, k * PAGE_SIZE)))).toEqual([0, 0]);
    expectClean(machine);
  });

  it('reads holes as zeros, between blocks that are on the disk', () => {
    const machine = onDisk(3);
    const { world, io, buffer, file } = machine;
    world.settle(file.punchHole(PAGE_SIZE, PAGE_SIZE));
    fill(machine, buffer, 9, 3 * PAGE_SIZE);
    expect(world.settle(io.read(buffer, 3 * PAGE_SIZE, 0))).toBe(3 * PAGE_SIZE);
    expect([0, 1, 2].map((k) => bytesAt(machine, buffer + k * PAGE_SIZE, 1)[0])).toEqual([1, 0, 3]);
    expectClean(machine);
  });

  it('sees what write(2) put into the page cache before', () => {
    const machine = onDisk(1);
    const { world, io, buffer, file } = machine;
    world.settle(file.write(10, Uint8Array.of(77), 0, 1));
    expect(world.settle(io.read(buffer, PAGE_SIZE, 0))).toBe(PAGE_SIZE);
    expect(bytesAt(machine, buffer + 9, 3)).toEqual([1, 77, 1]);
    expectClean(machine);
  });

  it('over a hole of the buffer fails as a whole, though the pages before it were filled (fact 13, O-07)', () => {
    const machine = onDisk(4);
    const { world, io, buffer, mm } = machine;
    plain(mm.munmap(buffer + 2 * PAGE_SIZE, PAGE_SIZE));
    expect(world.settle(io.read(buffer, 4 * PAGE_SIZE, 0))).toBe(-EFAULT);
    expect(bytesAt(machine, buffer + PAGE_SIZE, 1)).toEqual([2]);
    expect(world.settle(io.read(buffer + 2 * PAGE_SIZE, PAGE_SIZE, 0))).toBe(-EFAULT);
    expectClean(machine);
  });

  it('gives the error of the disk to its caller, once', () => {
    const machine = onDisk(2);
    const { world, io, buffer, disk } = machine;
    disk.endings.set(0, BlkStatus.ioerr);
    expect([0, 1].map(() => world.settle(io.read(buffer, PAGE_SIZE, 0)))).toEqual([-EIO, PAGE_SIZE]);
    disk.gone = true;
    expect(world.settle(io.read(buffer, PAGE_SIZE, 0))).toBe(-ENODEV);
    expectClean(machine);
  });

  it('is refused by a store that is no disk: there is no direct I/O on it', () => {
    const { fs, mm } = mount();
    expect(opened(fs.create('data')).direct?.(mm, 'prog')).toBeNull();
  });

  it('leaves pages to a work item that were cleaned while the disk filled them (B-09)', () => {
    const machine = onDisk(1);
    const { world, io, fs, mm, memory } = machine;
    // The buffer is a mapping of another file, which is synced meanwhile (fact 25).
    const other = opened(fs.create('other'));
    world.settle(other.write(0, new Uint8Array(PAGE_SIZE).fill(50), 0, PAGE_SIZE));
    const address = map(mm, other, 1);
    const reading = world.spawn(
      (function* () {
        return yield* wait(io.read(address, PAGE_SIZE, 0));
      })(),
      { name: 'read' },
    );
    world.run({ untilNs: world.now + IO_NS / 2 });
    expect(world.settle(other.fsync())).toBe(0);
    const pfn = frameAt(mm, address);
    expect(memory.frames.flags[pfn] & PG_dirty).toBe(0);
    world.run();
    expect(reading.result).toBe(PAGE_SIZE);
    expect(memory.frames.flags[pfn] & PG_dirty).toBe(PG_dirty);
    expectClean(machine);
  });
});

describe('a direct write to a file', () => {
  it('reaches the disk, and drops what is cached of the range', () => {
    const machine = onDisk(3);
    const { world, fs, io, buffer, file, store } = machine;
    expect(file.mapping.pages.size).toBe(3);
    fill(machine, buffer, 60, PAGE_SIZE);
    expect(world.settle(io.write(buffer, PAGE_SIZE, PAGE_SIZE))).toBe(PAGE_SIZE);
    expect([...file.mapping.pages.keys()]).toEqual([0, 2]);
    expect([store.content[blockOf(fs, 'data', 1) * PAGE_SIZE], cached(machine, PAGE_SIZE)]).toEqual([60, 60]);
    expectClean(machine);
  });

  it('takes pages from the mappings of the file, which then see what was written', () => {
    const machine = onDisk(1);
    const { world, io, buffer, file, mm } = machine;
    const address = map(mm, file, 1);
    expect(bytesAt(machine, address, 1)).toEqual([1]);
    fill(machine, buffer, 60, PAGE_SIZE);
    expect(world.settle(io.write(buffer, PAGE_SIZE, 0))).toBe(PAGE_SIZE);
    expect(bytesAt(machine, address, 1)).toEqual([60]);
    expectClean(machine);
  });

  it('writes what is dirty around its sectors first, so that nothing of it is lost', () => {
    const machine = onDisk(1);
    const { world, io, buffer, file } = machine;
    world.settle(file.write(2000, Uint8Array.of(77), 0, 1));
    fill(machine, buffer, 60, 512);
    expect(world.settle(io.write(buffer, 512, 512))).toBe(512);
    expect([511, 512, 1023, 1024, 2000].map((at) => cached(machine, at))).toEqual([1, 60, 60, 1, 77]);
    expectClean(machine);
  });

  it('makes the file longer, and fills the rest of a new block with zeros from the zero page (O-03, O-04)', () => {
    const machine = onDisk(1);
    const { world, fs, io, buffer, file, memory, store } = machine;
    store.content.fill(99, (blockOf(fs, 'data', 0) + 1) * PAGE_SIZE); // of files that are gone
    fill(machine, buffer, 60, 512);
    const pins = memory.vmstat.nrFollPinAcquired;
    expect(world.settle(io.write(buffer, 512, 3 * PAGE_SIZE))).toBe(512);
    expect(memory.vmstat.nrFollPinAcquired - pins).toBe(1);
    expect(file.size).toBe(3 * PAGE_SIZE + 512);
    expect([PAGE_SIZE, 3 * PAGE_SIZE, 3 * PAGE_SIZE + 511].map((at) => cached(machine, at))).toEqual([0, 60, 60]);
    const start = blockOf(fs, 'data', 3) * PAGE_SIZE;
    expect(store.content.slice(start + 512, start + PAGE_SIZE)).toEqual(new Uint8Array(PAGE_SIZE - 512));
    expectClean(machine);
  });

  it('fills a new block with zeros before what is written, too', () => {
    const machine = onDisk(1);
    const { world, io, buffer, store, fs } = machine;
    for (let block = fs.layout.dataStart; block < store.blocks; block++) {
      const content = store.content.subarray(block * PAGE_SIZE, (block + 1) * PAGE_SIZE);
      if (content.every((byte) => byte === 0)) content.fill(99); // of files that are gone
    }
    fill(machine, buffer, 60, 512);
    expect(world.settle(io.write(buffer, 512, PAGE_SIZE + 1024))).toBe(512);
    expect([PAGE_SIZE, PAGE_SIZE + 1023, PAGE_SIZE + 1024].map((at) => cached(machine, at))).toEqual([0, 0, 60]);
    expectClean(machine);
  });

  it('says -ENOSPC when there is no room, and leaves the file as long as it was', () => {
    const machine = onDisk(2, { blocksFree: 4 });
    const { world, io, buffer, file, fs } = machine;
    fill(machine, buffer, 60, 4 * PAGE_SIZE);
    expect(world.settle(io.write(buffer, 4 * PAGE_SIZE, 2 * PAGE_SIZE))).toBe(-ENOSPC);
    expect([file.size, fs.allocator.blocksFree]).toEqual([2 * PAGE_SIZE, 2]);
    expectClean(machine);
  });

  it('goes through the page cache when a cached page cannot be dropped: a device has made it dirty again', () => {
    const machine = onDisk(1, { memory: { writeback: { pinned: 'bounce' } } });
    const { world, fs, io, buffer, file, mm, gup, owner, store } = machine;
    const address = map(mm, file, 1);
    const pages = newPinnedPages(1);
    expect(world.settle(gup.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pages, 0, owner))).toBe(1);
    fill(machine, buffer, 60, PAGE_SIZE);
    expect(world.settle(io.write(buffer, PAGE_SIZE, 0))).toBe(PAGE_SIZE);
    expect([
      io.counts.throughCache,
      store.content[blockOf(fs, 'data', 0) * PAGE_SIZE],
      bytesAt(machine, address, 1)[0],
    ]).toEqual([1, 60, 60]);
    gup.unpinUserPages(pages, 0, 1);
    expectClean(machine);
  });

  it('drops again what a reader has cached meanwhile', () => {
    const machine = onDisk(1);
    const { world, io, buffer, file } = machine;
    fill(machine, buffer, 60, PAGE_SIZE);
    const writing = world.spawn(
      (function* () {
        return yield* wait(io.write(buffer, PAGE_SIZE, 0));
      })(),
      { name: 'write' },
    );
    world.run({ untilNs: world.now + IO_NS / 2 });
    expect(cached(machine, 0)).toBe(1);
    world.run();
    expect([writing.result, file.mapping.pages.size, cached(machine, 0)]).toEqual([PAGE_SIZE, 0, 60]);
    expectClean(machine);
  });

  it('tells fsync that a page is stale which somebody dirtied in the cache meanwhile (dio_warn_stale_pagecache)', () => {
    const machine = onDisk(1);
    const { world, io, buffer, file } = machine;
    fill(machine, buffer, 60, PAGE_SIZE);
    world.spawn(
      (function* () {
        yield* wait(io.write(buffer, PAGE_SIZE, 0));
      })(),
      { name: 'write' },
    );
    world.run({ untilNs: world.now + IO_NS / 2 });
    world.settle(file.write(0, Uint8Array.of(8), 0, 1));
    world.run();
    expect([io.counts.staleCaches, world.settle(file.fsync()), world.settle(file.fsync())]).toEqual([1, -EIO, 0]);
    expectClean(machine);
  });

  it('that makes the file longer keeps other writers waiting, one over blocks with content does not (inode_lock)', () => {
    for (const [position, waited] of [
      [PAGE_SIZE, IO_NS],
      [0, 0],
    ]) {
      const machine = onDisk(1);
      const { world, io, buffer, file } = machine;
      fill(machine, buffer, 60, PAGE_SIZE);
      const writing = world.spawn(
        (function* () {
          return yield* wait(io.write(buffer, PAGE_SIZE, position));
        })(),
        { name: 'write' },
      );
      const start = world.now;
      world.run({ untilNs: start + 1 });
      expect(world.settle(file.write(2 * PAGE_SIZE, Uint8Array.of(8), 0, 1))).toBe(1);
      expect(world.now - start).toBe(waited === 0 ? 1 : waited);
      world.run();
      expect(writing.result).toBe(PAGE_SIZE);
      expectClean(machine);
    }
  });

  it('that zeroes the rest of a block waits for what is in flight, which may just be filling it (inode_dio_wait)', () => {
    const machine = onDisk(1, { blocks: 4096 });
    const { world, io, buffer, file } = machine;
    world.settle(file.truncate(2 * PAGE_SIZE)); // page 1 is a hole
    fill(machine, buffer, 60, PAGE_SIZE);
    fill(machine, buffer + PAGE_SIZE, 61, 512);
    const done: [number, number, number][] = [];
    io.onDone = (token, result) => {
      done.push([token, result, world.now - start]);
      return undefined;
    };
    const start = world.now;
    expect(plain(io.submit(true, buffer, PAGE_SIZE, PAGE_SIZE, 0, 1))).toBe(0); // the whole block, asynchronous
    expect(world.settle(io.write(buffer + PAGE_SIZE, 512, PAGE_SIZE + 1024))).toBe(512); // a part of it
    expect(done).toEqual([[1, PAGE_SIZE, IO_NS]]);
    expect(world.now - start).toBe(2 * IO_NS); // one after the other
    expect([0, 1023, 1024, 1535, 1536, 4095].map((at) => cached(machine, PAGE_SIZE + at))).toEqual([
      60, 60, 61, 61, 60, 60,
    ]);
    expectClean(machine);
  });

  it('to a part of a block with content keeps nobody waiting (ext4_overwrite_io)', () => {
    const machine = onDisk(1);
    const { world, io, buffer, file } = machine;
    fill(machine, buffer, 60, PAGE_SIZE);
    const results: number[] = [];
    io.onDone = (_token, result) => {
      results.push(result, world.now - start);
      return undefined;
    };
    const start = world.now;
    for (let k = 0; k < 4; k++) expect(plain(io.submit(true, buffer, 512, 1024 * k, 0, k))).toBe(0);
    world.run();
    expect(results).toEqual([512, IO_NS, 512, IO_NS, 512, IO_NS, 512, IO_NS]);
    expect([511, 512, 1024, 1536].map((at) => cached(machine, at))).toEqual([60, 1, 60, 1]);
    expect(file.mapping.pages.size).toBe(1);
    expectClean(machine);
  });

  it('keeps truncation waiting until it has ended (inode_dio_wait)', () => {
    const machine = onDisk(2);
    const { world, io, buffer, file, fs } = machine;
    fill(machine, buffer, 60, PAGE_SIZE);
    world.spawn(
      (function* () {
        yield* wait(io.write(buffer, PAGE_SIZE, PAGE_SIZE));
      })(),
      { name: 'write' },
    );
    const start = world.now;
    world.run({ untilNs: start + IO_NS / 2 });
    const free = fs.allocator.blocksFree;
    expect(world.settle(file.truncate(0))).toBe(0);
    expect([world.now - start, fs.allocator.blocksFree - free]).toEqual([IO_NS, 2]);
    expectClean(machine);
  });
});

describe('asynchronous direct I/O', () => {
  it('ends in the interrupt for reads and for writes over blocks of an uncached file; 32 at a time', () => {
    const machine = onDisk(32);
    const { world, io, buffer, file } = machine;
    plain(file.fadviseDontneed());
    fill(machine, buffer, 60, PAGE_SIZE);
    const done: [number, number, number][] = [];
    io.onDone = (token, result) => {
      done.push([token, result, world.now]);
      return undefined;
    };
    const start = world.now;
    for (let k = 0; k < 32; k++) {
      const isWrite = k % 2 === 0;
      expect(plain(io.submit(isWrite, isWrite ? buffer : buffer + k * PAGE_SIZE, PAGE_SIZE, k * PAGE_SIZE, 0, k))).toBe(
        0,
      );
    }
    expect(io.inFlight).toBe(32);
    world.run();
    expect(done).toEqual(Array.from({ length: 32 }, (_, k) => [k, PAGE_SIZE, start + IO_NS]));
    expect([io.counts.endsDeferred, bytesAt(machine, buffer + 5 * PAGE_SIZE, 1)[0]]).toEqual([0, 6]);
    expectClean(machine);
  });

  it('leaves the end of a write to a work item when a page of the file is cached (O-06)', () => {
    const machine = onDisk(2);
    const { world, io, buffer } = machine;
    fill(machine, buffer, 60, PAGE_SIZE);
    const done: number[] = [];
    io.onDone = (_token, result) => {
      done.push(result);
      return undefined;
    };
    expect(plain(io.submit(true, buffer, PAGE_SIZE, 0, 0, 1))).toBe(0);
    world.run();
    expect([done, io.counts.endsDeferred]).toEqual([[PAGE_SIZE], 1]);
    expectClean(machine);
  });

  it('waits for a write that makes the file longer, and says a bad buffer at once', () => {
    const machine = onDisk(1);
    const { world, io, buffer, file, mm } = machine;
    fill(machine, buffer, 60, PAGE_SIZE);
    const done: number[] = [];
    io.onDone = (_token, result) => {
      done.push(result);
      return undefined;
    };
    expect(world.settle(io.submit(true, buffer, PAGE_SIZE, PAGE_SIZE, 0, 1))).toBe(0);
    expect([done, file.size]).toEqual([[PAGE_SIZE], 2 * PAGE_SIZE]);
    plain(mm.munmap(buffer + PAGE_SIZE, PAGE_SIZE));
    expect(world.settle(io.submit(false, buffer + PAGE_SIZE, PAGE_SIZE, 0, 0, 2))).toBe(-EFAULT);
    expect(done).toHaveLength(1);
    expectClean(machine);
  });

  it('fails as a whole when the buffer ends in its middle, and holds nothing afterwards (fact 13, O-07)', () => {
    const machine = onDisk(2);
    const { world, io, buffer, file, mm } = machine;
    plain(file.fadviseDontneed());
    const done: number[] = [];
    io.onDone = (_token, result) => {
      done.push(result);
      return undefined;
    };
    plain(mm.munmap(buffer + PAGE_SIZE, PAGE_SIZE));
    expect(world.settle(io.submit(false, buffer, 2 * PAGE_SIZE, 0, 0, 1))).toBe(0);
    world.run();
    expect([done, bytesAt(machine, buffer, 1)]).toEqual([[-EFAULT], [1]]);
    expectClean(machine);
  });

  it('sleeps while the buffer is faulted in, and truncation waits for it', () => {
    let slow: SlowStoreOnDisk | null = null;
    const machine = mount({ makeStore: (memory, inner) => (slow = new SlowStoreOnDisk(memory, inner)) });
    const { world, mm, fs, memory } = machine;
    const store = slow as unknown as SlowStoreOnDisk;
    const [file, other] = ['data', 'other'].map((name) => {
      const made = opened(fs.create(name));
      plain(made.write(0, new Uint8Array(PAGE_SIZE).fill(name.length), 0, PAGE_SIZE));
      plain(made.fsync());
      plain(made.fadviseDontneed());
      return made;
    });
    const address = map(mm, other, 1);
    store.disk.world = world;
    store.isSlow = true;
    const io = file.direct?.(mm, 'prog') as FileDirectIo;
    const done: number[] = [];
    io.onDone = (_token, result) => {
      done.push(result);
      return undefined;
    };
    const submitting = io.submit(false, address, PAGE_SIZE, 0, 0, 1);
    expect(typeof submitting).not.toBe('number');
    const truncating = file.truncate(0);
    expect(typeof truncating).not.toBe('number');
    expect([world.settle(submitting), world.settle(truncating)]).toEqual([0, 0]);
    expect(done).toEqual([PAGE_SIZE]);
    const byte = new Uint8Array(1);
    expect(world.settle(mm.read(address, byte))).toBe(1);
    expect(byte[0]).toBe('data'.length);
    expect(memory.ledger.livePins()).toEqual([]);
  });

  it('during a fork: with pins the parent keeps the page the disk fills, with references it can lose it (section 11)', () => {
    const seen = (directIo: 'pin' | 'get') => {
      const machine = onDisk(1, { memory: { directIo } });
      const { world, io, buffer, mm } = machine;
      fill(machine, buffer, 9, PAGE_SIZE);
      expect(plain(io.submit(false, buffer, PAGE_SIZE, 0, 0, 1))).toBe(0);
      const child = mm.fork('child');
      if (typeof child === 'number') throw new Error('fork');
      fill(machine, buffer, 8, 1); // copies the page if it is shared
      world.run();
      const byte = bytesAt(machine, buffer + 1, 1)[0];
      world.settle(child.exit());
      expectClean(machine);
      return byte;
    };
    expect([seen('pin'), seen('get')]).toEqual([1, 9]);
  });

  it('during reclaim: a pinned buffer stays, one with references is unmapped and comes back as the same page', () => {
    const machine = onDisk(1, { memory: { swapBytes: 1 << 20 } });
    const { world, io, buffer, mm } = machine;
    fill(machine, buffer, 9, PAGE_SIZE);
    const pfn = frameAt(mm, buffer);
    expect(plain(io.submit(false, buffer, PAGE_SIZE, 0, 0, 1))).toBe(0);
    expect(plain(mm.madvise(buffer, PAGE_SIZE, MADV_PAGEOUT))).toBe(0);
    expect(frameAt(mm, buffer)).toBe(pfn);
    world.run();
    expect(bytesAt(machine, buffer, 1)).toEqual([1]);
    expectClean(machine);
  });
});
