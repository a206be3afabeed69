import { BioOp, BlkStatus } from '@pincushion/block';
import { PAGE_SIZE, PROT_NONE, PROT_READ, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE } from '@pincushion/mm';
import { Context, EFAULT, EINVAL, EIO, ENODATA, ENODEV, ENOMEM, ENOSPC } from '@pincushion/sim';
import { bench, pattern } from './machine-under-test';

const READ = BioOp.read;
const WRITE = BioOp.write;

describe('direct I/O', () => {
  it('moves a page between the buffer of a process and the disk, pinned in between and not after', () => {
    const { mm, disk, io, run, buffer, pinned, done, codes } = bench();
    const from = buffer(1);
    run(mm.write(from, pattern(PAGE_SIZE, 1)));
    expect(run(io.submit(WRITE, from, PAGE_SIZE, 8, 2, 41))).toBe(0);
    expect(pinned()).toBe(1);
    expect(disk.held[0]).toMatchObject({ op: WRITE, sector: 8, bytes: PAGE_SIZE, cpu: 2, pageCount: 1 });
    expect(io.inFlight).toBe(1);
    disk.interrupt();
    expect(pinned()).toBe(0);
    expect(disk.content.slice(8 * 512, 8 * 512 + PAGE_SIZE)).toEqual(pattern(PAGE_SIZE, 1));

    const to = buffer(1);
    expect(run(io.submit(READ, to, PAGE_SIZE, 8, 0, 42))).toBe(0);
    disk.interrupt();
    const seen = new Uint8Array(PAGE_SIZE);
    run(mm.read(to, seen));
    expect(seen).toEqual(pattern(PAGE_SIZE, 1));
    expect(done).toEqual(['41:4096', '42:4096']);
    expect([io.inFlight, io.liveBios, pinned()]).toEqual([0, 0, 0]);
    expect(codes()).toEqual([]);
  });

  it('asks for write access only if memory is the destination: a write may come from read-only memory (B-01)', () => {
    const { mm, disk, io, run, done } = bench();
    const address = run(mm.mmap(PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS));
    expect(run(io.submit(WRITE, address, PAGE_SIZE, 0, 0, 1))).toBe(0);
    disk.interrupt();
    expect(run(io.submit(READ, address, PAGE_SIZE, 0, 0, 2))).toBe(-EFAULT);
    expect(done).toEqual(['1:4096']);
  });

  it('takes plain references where the machine says so, and gives them back by put (profile 6.1)', () => {
    const { memory, mm, disk, io, run, buffer, done, pinned, codes } = bench({}, 'full', 4096, { directIo: 'get' });
    disk.content.set(pattern(3 * PAGE_SIZE, 4));
    const to = buffer(3);
    const { getsAcquired } = memory.ledger.counters;
    expect(run(io.submit(READ, to, 3 * PAGE_SIZE, 0, 0, 1))).toBe(0);
    expect([pinned(), memory.ledger.counters.getsAcquired - getsAcquired, mm.hasPinned]).toEqual([0, 3, false]);
    disk.interrupt();
    const { getsAcquired: taken, getsReleased: given } = memory.ledger.counters;
    expect([done, taken - given, codes()]).toEqual([['1:12288'], 0, []]);
    // A bad end: what was taken beyond the last whole block goes back at once (B-04, O-07).
    run(mm.munmap(to + PAGE_SIZE, PAGE_SIZE));
    expect(run(io.submit(READ, to, 2 * PAGE_SIZE, 0, 0, 2))).toBe(0);
    disk.interrupt();
    expect(memory.ledger.counters.getsAcquired - memory.ledger.counters.getsReleased).toBe(0);
  });

  it('pins nothing for a write from an untouched page: the source is the zero page (O-02)', () => {
    const { memory, disk, io, run, buffer } = bench();
    disk.content.fill(0xff);
    const address = buffer(1, false);
    const before = { ...memory.ledger.counters };
    expect(run(io.submit(WRITE, address, PAGE_SIZE, 0, 0, 1))).toBe(0);
    disk.interrupt();
    expect(disk.content.slice(0, PAGE_SIZE).every((byte) => byte === 0)).toBe(true);
    expect(memory.vmstat).toMatchObject({ nrFollPinAcquired: 0, nrFollPinReleased: 0 });
    expect(memory.ledger.counters.pinnedNow).toBe(before.pinnedNow);
  });

  it('faults the pages of an untouched buffer in, sleeping if it must', () => {
    const { mm, disk, io, run, buffer, done, pinned } = bench();
    const address = buffer(20, false);
    disk.content.set(pattern(20 * PAGE_SIZE, 5));
    expect(run(io.submit(READ, address, 20 * PAGE_SIZE, 0, 0, 1))).toBe(0);
    expect(pinned()).toBe(20);
    disk.interrupt();
    const seen = new Uint8Array(20 * PAGE_SIZE);
    run(mm.read(address, seen));
    expect(seen).toEqual(pattern(20 * PAGE_SIZE, 5));
    expect(done).toEqual(['1:81920']);
  });

  it('takes a buffer that starts in the middle of a page', () => {
    const { mm, disk, io, run, buffer, done } = bench();
    const address = buffer(3);
    run(mm.write(address + 512, pattern(2 * PAGE_SIZE, 3)));
    expect(run(io.submit(WRITE, address + 512, 2 * PAGE_SIZE, 4, 0, 1))).toBe(0);
    const [bio] = disk.held;
    expect([bio.pageCount, bio.firstOffset]).toEqual([3, 512]);
    expect([0, 1, 2].map((i) => bio.bioVec(i).length)).toEqual([PAGE_SIZE - 512, PAGE_SIZE, 512]);
    disk.interrupt();
    expect(disk.content.slice(2048, 2048 + 2 * PAGE_SIZE)).toEqual(pattern(2 * PAGE_SIZE, 3));
    expect(done).toEqual(['1:8192']);
  });

  it('splits a request by the limits of the disk; all bios fly at once and the request is done once, with the last', () => {
    const { mm, disk, io, run, buffer, done, pinned } = bench({ maxBytes: 16384, maxPages: 5 });
    const address = buffer(10);
    run(mm.write(address, pattern(10 * PAGE_SIZE, 8)));
    expect(run(io.submit(WRITE, address, 10 * PAGE_SIZE, 16, 0, 9))).toBe(0);
    expect(disk.seen).toEqual(['1 16+32', '1 48+32', '1 80+16']);
    expect(pinned()).toBe(10);
    disk.held.reverse();
    disk.interrupt();
    disk.interrupt();
    expect([done.length, pinned(), io.inFlight]).toEqual([0, 4, 1]);
    disk.interrupt();
    expect(done).toEqual(['9:40960']);
    expect(disk.content.slice(8192, 8192 + 10 * PAGE_SIZE)).toEqual(pattern(10 * PAGE_SIZE, 8));
  });

  it('splits by pages, at whole blocks, when the buffer is not at a page', () => {
    const { disk, io, run, buffer, pinned } = bench({ maxPages: 2, logicalBlockBytes: 4096, dmaAlignmentBytes: 4 });
    const address = buffer(4);
    expect(run(io.submit(WRITE, address + 4, 3 * PAGE_SIZE, 0, 0, 1))).toBe(0);
    expect(disk.seen).toEqual(['1 0+8', '1 8+8', '1 16+8']);
    expect(disk.held.map((bio) => bio.pageCount)).toEqual([2, 2, 2]);
    while (disk.held.length > 0) disk.interrupt();
    expect(pinned()).toBe(0);
  });

  it('ends with the first error of its bios and waits for all of them', () => {
    const { disk, io, run, buffer, done, pinned } = bench({ maxBytes: 4096 });
    const address = buffer(3);
    run(io.submit(READ, address, 3 * PAGE_SIZE, 0, 0, 1));
    disk.interrupt(BlkStatus.ok);
    disk.interrupt(BlkStatus.medium);
    expect(done).toEqual([]);
    disk.interrupt(BlkStatus.timeout);
    expect(done).toEqual([`1:${-ENODATA}`]);
    expect([pinned(), io.liveBios]).toEqual([0, 0]);
  });

  it.each([
    ['an address that is not aligned', 3, 4096, 0],
    ['a length that is not whole blocks', 0, 4095, 0],
    ['a negative length', 0, -512, 0],
    ['a sector that is negative', 0, 512, -1],
    ['a sector in the middle of a block', 0, 4096, 1],
    ['no number', Number.NaN, 512, 0],
  ])('refuses %s with -EINVAL', (_what, offset, bytes, sector) => {
    const { io, run, buffer, done, pinned } = bench({ logicalBlockBytes: sector === 1 ? 4096 : 512 });
    const address = buffer(2);
    expect(run(io.submit(READ, address + offset, bytes, sector, 0, 1))).toBe(-EINVAL);
    expect([done.length, pinned(), io.inFlight]).toEqual([0, 0, 0]);
  });

  it('refuses operations that carry no data here', () => {
    const { io, run, buffer } = bench();
    expect(run(io.submit(BioOp.discard, buffer(1), 512, 0, 0, 1))).toBe(-EINVAL);
  });

  it('reads short across the end of the disk, 0 bytes behind it; writes short, and -ENOSPC behind it', () => {
    const { world, disk, io, run, buffer, done } = bench({}, 'full', 16);
    const address = buffer(2);
    expect(run(io.submit(READ, address, PAGE_SIZE, 12, 0, 1))).toBe(0);
    disk.interrupt();
    expect(run(io.submit(READ, address, PAGE_SIZE, 16, 0, 2))).toBe(0);
    expect(done).toEqual(['1:2048']);
    world.run();
    expect(run(io.submit(WRITE, address, PAGE_SIZE, 12, 0, 3))).toBe(0);
    disk.interrupt();
    expect(run(io.submit(WRITE, address, PAGE_SIZE, 16, 0, 4))).toBe(-ENOSPC);
    expect(run(io.submit(WRITE, address, 0, 16, 0, 5))).toBe(0);
    world.run();
    expect(done).toEqual(['1:2048', '2:0', '3:2048', '5:0']);
    expect(disk.seen).toEqual(['0 12+4', '1 12+4']);
  });

  it('refuses a buffer that is not there, with the errno of the first page and no pin left', () => {
    const { io, run, mm, buffer, done, pinned } = bench();
    const address = buffer(2);
    run(mm.munmap(address, 2 * PAGE_SIZE));
    expect(run(io.submit(READ, address, PAGE_SIZE, 0, 0, 1))).toBe(-EFAULT);
    expect([done.length, pinned(), io.inFlight, io.liveBios]).toEqual([0, 0, 0, 0]);
  });

  it('is short for a buffer that is partly bad, and leaks no pin (O-07)', () => {
    const { io, run, mm, disk, buffer, done, pinned } = bench();
    const address = buffer(4);
    run(mm.munmap(address + 2 * PAGE_SIZE, PAGE_SIZE));
    expect(run(io.submit(READ, address, 4 * PAGE_SIZE, 0, 0, 1))).toBe(0);
    disk.interrupt();
    expect(done).toEqual(['1:8192']);
    expect([pinned(), io.liveBios]).toEqual([0, 0]);
  });

  it('gives back at once what is pinned beyond the last whole block (B-04)', () => {
    const { io, run, mm, disk, buffer, done, pinned } = bench({ logicalBlockBytes: 4096, dmaAlignmentBytes: 512 });
    const address = buffer(4);
    run(mm.munmap(address + 2 * PAGE_SIZE, PAGE_SIZE));
    expect(run(io.submit(READ, address + 512, 3 * PAGE_SIZE, 0, 0, 1))).toBe(0);
    expect(pinned()).toBe(2);
    expect(disk.held[0]).toMatchObject({ bytes: 4096, pageCount: 2 });
    disk.interrupt();
    expect(done).toEqual(['1:4096']);
    expect(run(io.submit(READ, address + PAGE_SIZE + 512, PAGE_SIZE, 0, 0, 2))).toBe(-EFAULT);
    expect(pinned()).toBe(0);
  });

  it('ends with -EIO when a request of more than 256 pages meets a bad page behind bios in flight', () => {
    const { io, run, mm, disk, buffer, done, pinned } = bench({ maxBytes: 64 * 1024 });
    const address = buffer(300);
    run(mm.munmap(address + 100 * PAGE_SIZE, PAGE_SIZE));
    expect(run(io.submit(READ, address, 300 * PAGE_SIZE, 0, 0, 1))).toBe(0);
    while (disk.held.length > 0) disk.interrupt();
    expect(done).toEqual([`1:${-EIO}`]);
    expect(pinned()).toBe(0);
  });

  it('leaves nothing behind when the pin of any bio fails', () => {
    for (let nth = 1; nth <= 4; nth++) {
      const { world, io, run, disk, buffer, pinned, codes } = bench({ maxBytes: 4096 });
      const address = buffer(3);
      world.faults.arm('pin', { nth, errno: -ENOMEM });
      run(io.submit(WRITE, address, 3 * PAGE_SIZE, 0, 0, 1));
      while (disk.held.length > 0) disk.interrupt();
      expect([pinned(), io.liveBios, io.inFlight]).toEqual([0, 0, 0]);
      world.checkAtEnd();
      expect(codes()).toEqual([]);
    }
  });

  it('answers -ENODEV once the device is gone, and ends what a driver refuses later', () => {
    const { world, disk, io, run, buffer, done, pinned } = bench();
    const address = buffer(1);
    disk.gone = true;
    expect(run(io.submit(READ, address, PAGE_SIZE, 0, 0, 1))).toBe(-ENODEV);
    expect(io.flush(0, 2)).toBe(-ENODEV);
    expect(io.discard(0, 8, 0, 3)).toBe(-ENODEV);
    expect(world.complete(io.sync())).toBe(-ENODEV);
    expect([done.length, pinned(), disk.inFlight]).toEqual([0, 0, 0]);
  });

  it('keeps a page alive that the process unmaps during the I/O', () => {
    const { mm, disk, io, run, buffer, done, memory } = bench();
    const address = buffer(1);
    run(io.submit(READ, address, PAGE_SIZE, 0, 0, 1));
    const free = memory.framesFree;
    run(mm.munmap(address, PAGE_SIZE));
    expect(memory.framesFree).toBe(free);
    disk.interrupt();
    expect(memory.framesFree).toBe(free + 1);
    expect(done).toEqual(['1:4096']);
  });

  it('goes on for as long as a handler in task context submits what onDone asks for', () => {
    const { world, disk, io, run, buffer, done } = bench();
    disk.latencyNs = 1000;
    const address = buffer(1);
    const again = world.handler('resubmit', Context.task, (token) => {
      expect(io.submit(READ, address, PAGE_SIZE, 0, 0, token)).toBe(0);
      return undefined;
    });
    io.onDone = (token, result) => {
      done.push(`${token}:${result}`);
      if (token < 100) world.schedule(0, again, token + 1);
      return undefined;
    };
    run(io.submit(READ, address, PAGE_SIZE, 0, 0, 1));
    world.run();
    expect(done).toHaveLength(100);
    expect(done[99]).toBe('100:4096');
    expect(world.now).toBe(100_000);
  });

  it('is not submitted in an interrupt: pinning may sleep', () => {
    const { world, io, run, buffer } = bench();
    const address = buffer(1);
    world.after(0, Context.hardirq, () => {
      run(io.submit(READ, address, PAGE_SIZE, 0, 0, 1));
      return undefined;
    });
    expect(() => world.run()).toThrow(/SLEEP_IN_ATOMIC: direct I/);
    expect([io.inFlight, io.liveBios]).toEqual([0, 0]);
  });

  it('keeps any number of requests apart', () => {
    const { world, disk, io, run, buffer, done } = bench();
    const address = buffer(1);
    for (let token = 0; token < 500; token++) run(io.submit(READ, address, 512, token, 0, token));
    expect(io.inFlight).toBe(500);
    for (const bio of disk.held.splice(0).reverse()) disk.finish(bio);
    world.run();
    expect(done).toEqual(Array.from({ length: 500 }, (_, i) => `${499 - i}:512`));
  });
});

describe('operations without data', () => {
  it('flush the disk', () => {
    const { disk, io, done } = bench();
    expect(io.flush(1, 7)).toBe(0);
    expect(disk.seen).toEqual(['2 0+0']);
    disk.interrupt();
    expect(done).toEqual(['7:0']);
  });

  it('discard and zero ranges, in bios as long as the disk takes', () => {
    const { disk, io, done } = bench({ maxDiscardBytes: 8192, maxWriteZeroesBytes: 4096 });
    expect(io.discard(8, 40, 0, 1)).toBe(0);
    expect(disk.seen).toEqual(['3 8+16', '3 24+16', '3 40+8']);
    while (disk.held.length > 0) disk.interrupt();
    disk.content.fill(1);
    expect(io.writeZeroes(0, 16, 0, 2)).toBe(0);
    while (disk.held.length > 0) disk.interrupt();
    expect(disk.content[16 * 512 - 1]).toBe(0);
    expect(disk.content[16 * 512]).toBe(1);
    expect(done).toEqual(['1:20480', '2:8192']);
  });

  it('refuse ranges that are empty, not aligned or beyond the end', () => {
    const { io } = bench({ logicalBlockBytes: 4096 }, 'full', 64);
    expect(io.discard(0, 0, 0, 1)).toBe(-EINVAL);
    expect(io.discard(4, 8, 0, 1)).toBe(-EINVAL);
    expect(io.discard(0, 4, 0, 1)).toBe(-EINVAL);
    expect(io.discard(56, 16, 0, 1)).toBe(-EINVAL);
    expect(io.writeZeroes(-8, 8, 0, 1)).toBe(-EINVAL);
  });
});

describe('a program', () => {
  it('waits for its I/O', () => {
    const { world, mm, disk, io, run, buffer, pinned } = bench();
    disk.latencyNs = 5_000;
    const from = buffer(2);
    const to = buffer(2);
    run(mm.write(from, pattern(2 * PAGE_SIZE, 6)));
    function* program() {
      const written = yield* io.write(from, 2 * PAGE_SIZE, 32);
      const flushed = yield* io.sync();
      const read = yield* io.read(to, 2 * PAGE_SIZE, 32);
      return [written, flushed, read];
    }
    expect(world.complete(program())).toEqual([8192, 0, 8192]);
    expect(world.now).toBe(15_000);
    const seen = new Uint8Array(2 * PAGE_SIZE);
    run(mm.read(to, seen));
    expect(seen).toEqual(pattern(2 * PAGE_SIZE, 6));
    expect(pinned()).toBe(0);
  });

  it('gets the errno of what is refused and of what fails', () => {
    const { world, mm, disk, io, run, buffer } = bench();
    const address = buffer(1);
    expect(world.complete(io.read(address + 1, 512, 0))).toBe(-EINVAL);
    run(mm.mmap(PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, address));
    expect(world.complete(io.write(address, 512, 0))).toBe(-EFAULT);
    const other = buffer(1);
    const thread = world.spawn(io.read(other, 512, 0), { name: 'reader' });
    world.run();
    disk.interrupt(BlkStatus.transport);
    expect(thread.result).toBe(-67);
  });

  it('that waits for a bio that never ends is named with what it waits for', () => {
    const { world, io, buffer } = bench();
    expect(() => world.complete(io.read(buffer(1), 512, 0))).toThrow(/TASK_STUCK.*direct I\/O of program on ram0/s);
  });

  it('must not wait in an interrupt', () => {
    const { world, io, buffer } = bench();
    const address = buffer(1);
    world.after(0, Context.hardirq, () => {
      world.spawn(io.read(address, 512, 0), { name: 'too late' });
      return undefined;
    });
    expect(() => world.run()).toThrow(/SLEEP_IN_ATOMIC/);
  });
});
