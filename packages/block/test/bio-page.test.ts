import {
  BioOp,
  BioPages,
  BioPool,
  BlkStatus,
  REQ_POLLED,
  bioAddPage,
  bioAddUserPage,
  bioAddZeroPage,
  bioChain,
  bioEndIo,
  bioPoll,
  bioReleasePages,
  submitBio,
  submitBioWait,
} from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { FOLL_WRITE, PAGE_SIZE, ZERO_PFN, newGottenPages, newPinnedPages } from '@pincushion/mm';
import type { GottenPages, PinnedPages } from '@pincushion/mm';
import { Context } from '@pincushion/sim';
import { KernelPages } from './kernel-pages';
import { bench, pattern } from './machine-under-test';

/** Two pages of a process, pinned, and two gotten. */
function userPages() {
  const machine = bench();
  const { memory, mm, buffer, run } = machine;
  const pinned = newPinnedPages(2);
  const gotten = newGottenPages(2);
  run(memory.gup.pinUserPages(mm, buffer(2), 2, FOLL_WRITE, pinned, 0, 0));
  run(memory.gup.getUserPages(mm, buffer(2), 2, FOLL_WRITE, gotten, 0, 0));
  const pool = new BioPool(memory, 4);
  const give = (bio: Bio): void => {
    if (bio.pageKind === BioPages.pin) memory.gup.unpinUserPages(bio.pages as PinnedPages, 0, bio.pageCount);
    else memory.gup.putPages(bio.pages as GottenPages, 0, bio.pageCount);
    bio.pageCount = 0;
    pool.free(bio);
  };
  return { ...machine, pins: pinned, gets: gotten, pool, give };
}

describe('bioAddUserPage (seed of 10 October 2018)', () => {
  it('makes the bio one of pinned pages, and its end gives the pins back (BIO_PAGE_PINNED)', () => {
    const { pins, gets, pool, give, pinned, memory } = userPages();
    const bio = pool.alloc();
    expect(bioAddUserPage(bio, pins[0], BioPages.pin, PAGE_SIZE, 0)).toBe(PAGE_SIZE);
    expect(bioAddUserPage(bio, pins[1], BioPages.pin, 512, 0)).toBe(512);
    expect(bio).toMatchObject({ pageKind: BioPages.pin, pageCount: 2, bytes: PAGE_SIZE + 512, vectored: false });
    give(bio);
    expect(pinned()).toBe(0);
    memory.gup.putPages(gets, 0, 2);
  });

  it('refuses a page of another kind, whose reference stays with the caller, who begins a new bio (B-06)', () => {
    const { pins, gets, pool, give, pinned } = userPages();
    const first = pool.alloc();
    const second = pool.alloc();
    expect(bioAddUserPage(first, pins[0], BioPages.pin, PAGE_SIZE, 0)).toBe(PAGE_SIZE);
    expect(bioAddUserPage(first, gets[0], BioPages.get, PAGE_SIZE, 0)).toBe(0);
    expect(bioAddPage(first, 5, PAGE_SIZE, 0)).toBe(0);
    expect(bioAddZeroPage(first, 512)).toBe(0);
    expect(bioAddUserPage(second, gets[0], BioPages.get, PAGE_SIZE, 0)).toBe(PAGE_SIZE);
    expect(bioAddUserPage(second, pins[1], BioPages.pin, PAGE_SIZE, 0)).toBe(0);
    expect(bioAddUserPage(second, gets[1], BioPages.get, PAGE_SIZE, 0)).toBe(PAGE_SIZE);
    expect(bioAddUserPage(first, pins[1], BioPages.pin, PAGE_SIZE, 0)).toBe(PAGE_SIZE);
    give(first);
    give(second);
    expect(pinned()).toBe(0);
  });

  it.each([
    ['pin', BioPages.pin],
    ['get', BioPages.get],
  ] as const)(
    'gives the second reference back at once when the page goes on where it ended: %s (B-05)',
    (_kind, kind) => {
      const { memory, mm, buffer, run } = bench();
      const address = buffer(1);
      const pool = new BioPool(memory, 4);
      const bio = pool.alloc();
      const frames: number[] = [];
      for (let at = 0; at < 2048; at += 1024) {
        const pages = new Int32Array(1);
        if (kind === BioPages.pin) run(memory.gup.pinUserPages(mm, address, 1, FOLL_WRITE, pages as PinnedPages, 0, 0));
        else run(memory.gup.getUserPages(mm, address, 1, FOLL_WRITE, pages as GottenPages, 0, 0));
        expect(bioAddUserPage(bio, pages[0], kind, 1024, at)).toBe(1024);
        frames.push(bio.bioVec(0).page);
        expect(memory.frames.refcount[frames[0]]).toBe(kind === BioPages.pin ? 1 + 1024 : 2);
      }
      expect(bio).toMatchObject({ pageCount: 1, bytes: 2048, vectored: false });
      run(bioReleasePages(bio, memory, false));
      expect(memory.frames.refcount[frames[0]]).toBe(1);
      pool.free(bio);
    },
  );
});

describe('bioAddPage', () => {
  it('keeps a run of whole pages a run, and notes pieces with gaps', () => {
    const { memory } = bench();
    const kernel = new KernelPages(memory);
    const [a, b, c] = kernel.frames(3);
    const bio = kernel.pieces(BioOp.write, 0, [
      { frame: a, offset: 1024, length: 1024 },
      { frame: a, offset: 2048, length: 2048 },
      { frame: b, offset: 0, length: PAGE_SIZE },
    ]);
    expect(bio).toMatchObject({ pageCount: 2, firstOffset: 1024, bytes: 7168, vectored: false });
    bioAddPage(bio, c, 512, 512);
    bioAddPage(bio, c, 512, 1024);
    expect(bio).toMatchObject({ pageCount: 3, bytes: 8192, vectored: true });
    expect([0, 1, 2].map((i) => bio.bioVec(i))).toEqual([
      { page: a, offset: 1024, length: 3072 },
      { page: b, offset: 0, length: PAGE_SIZE },
      { page: c, offset: 512, length: 1024 },
    ]);
    kernel.pool.free(bio);
  });

  it('says 0 when the bio is full, and refuses what does not lie within a page or comes too late', () => {
    const { memory, disk } = bench();
    const kernel = new KernelPages(memory, 1);
    const [a, b] = kernel.frames(2);
    const bio = kernel.bio(BioOp.write, 0, [a]);
    expect(bioAddPage(bio, b, PAGE_SIZE, 0)).toBe(0);
    expect(() => bioAddPage(bio, b, PAGE_SIZE, 512)).toThrow(/BIO_INVALID.*cannot take 4096 bytes at 512 of a page/);
    submitBio(disk, bio);
    expect(() => bioAddPage(bio, b, 512, 0)).toThrow(/BIO_INVALID.*not being filled/);
    disk.interrupt();
    expect(kernel.ended).toEqual(['0:0']);
  });

  it('pads with the zero page, which is neither pinned nor unpinned (O-03)', () => {
    const { memory, disk, pinned } = bench();
    const kernel = new KernelPages(memory);
    const [a] = kernel.frames(1);
    kernel.fill(a, 0, pattern(1024, 1));
    disk.content.fill(1);
    const bio = kernel.pieces(BioOp.write, 0, [{ frame: a, offset: 0, length: 1024 }]);
    expect(bioAddZeroPage(bio, 3072)).toBe(3072);
    const before = memory.frames.refcount[ZERO_PFN];
    submitBio(disk, bio);
    while (disk.held.length > 0) disk.interrupt();
    expect(Buffer.compare(disk.content.subarray(0, 1024), pattern(1024, 1))).toBe(0);
    expect(disk.content.subarray(1024, 4096).every((byte) => byte === 0)).toBe(true);
    expect([disk.content[4096], memory.frames.refcount[ZERO_PFN], pinned()]).toEqual([1, before, 0]);
  });
});

describe('bioChain (B-11)', () => {
  it('ends the parent once, when its own part and all children have ended, with the first error', () => {
    const { memory, disk } = bench();
    const kernel = new KernelPages(memory);
    const parent = kernel.bio(BioOp.write, 0, kernel.frames(1), 9);
    for (const sector of [8, 16]) {
      const child = kernel.pool.alloc();
      Object.assign(child, { op: BioOp.write, sector });
      bioAddPage(child, kernel.frames(1)[0], PAGE_SIZE, 0);
      bioChain(child, parent);
      submitBio(disk, child);
    }
    submitBio(disk, parent);
    const [first, second, own] = disk.held.splice(0);
    disk.finish(own, BlkStatus.transport);
    disk.finish(second, BlkStatus.medium);
    expect(kernel.ended).toEqual([]);
    disk.finish(first);
    expect(kernel.ended).toEqual([`9:${BlkStatus.transport}`]);
    expect(kernel.pool.live).toBe(0);
  });

  it('takes the error of a child that ended before the parent was submitted', () => {
    const { memory, disk } = bench();
    const kernel = new KernelPages(memory);
    const parent = kernel.range(BioOp.write, 0, 0, 9);
    const child = kernel.pool.alloc();
    bioChain(child, parent);
    submitBio(disk, child);
    disk.interrupt(BlkStatus.medium);
    submitBio(disk, parent);
    disk.interrupt();
    expect(kernel.ended).toEqual([`9:${BlkStatus.medium}`]);
  });

  it('refuses a child with an end of its own or in flight, and the parent stays until its children have ended', () => {
    const { memory, disk } = bench();
    const kernel = new KernelPages(memory);
    const [parent, other, child] = [1, 2, 3].map((id) => kernel.range(BioOp.read, 0, 0, id));
    expect(() => {
      bioChain(other, parent);
    }).toThrow(/BIO_INVALID.*an end of its own/);
    const plain = kernel.pool.alloc();
    bioChain(plain, parent);
    expect(() => {
      kernel.pool.free(parent);
    }).toThrow(/while chained bios have not ended/);
    submitBio(disk, plain);
    submitBio(disk, parent);
    disk.finish(disk.held[1]);
    expect(() => {
      bioEndIo(parent, BlkStatus.ok);
    }).toThrow(/BIO_ENDED_TWICE/);
    expect(() => {
      submitBio(disk, parent);
    }).toThrow(/BIO_INVALID.*one in flight/);
    disk.finish(disk.held[0]);
    const late = kernel.pool.alloc();
    expect(() => {
      bioChain(late, parent);
    }).toThrow(/BIO_INVALID.*parent has ended/);
    for (const bio of [other, child, late]) kernel.pool.free(bio);
    expect(kernel.ended).toEqual(['1:0']);
  });
});

describe('submitBioWait', () => {
  it('sleeps until the bio has ended, and gives the errno of its end', () => {
    const { world, memory, disk } = bench();
    disk.latencyNs = 2_000;
    const kernel = new KernelPages(memory);
    const frames = kernel.frames(2);
    disk.content.set(pattern(8192, 5));
    function* reader() {
      const bio = kernel.bio(BioOp.read, 0, frames);
      const read = yield* submitBioWait(disk, bio);
      kernel.pool.free(bio);
      const beyond = kernel.bio(BioOp.read, disk.capacitySectors, frames);
      const refused = yield* submitBioWait(disk, beyond);
      kernel.pool.free(beyond);
      return [read, refused, world.now];
    }
    expect(world.complete(reader())).toEqual([0, -5, 2_000]);
    expect(kernel.content(frames.map((frame) => ({ frame, offset: 0, length: PAGE_SIZE })))).toEqual(pattern(8192, 5));
    expect(kernel.pool.live).toBe(0);
  });

  it('names the bio that a stuck thread waits for, and must not be called in an interrupt', () => {
    const { world, memory, disk } = bench();
    const kernel = new KernelPages(memory);
    const bio = kernel.bio(BioOp.read, 0, kernel.frames(1));
    expect(() => world.complete(submitBioWait(disk, bio))).toThrow(/TASK_STUCK.*waits for bio \d+ on ram0/);
    world.after(0, Context.hardirq, () => {
      world.spawn(submitBioWait(disk, kernel.range(BioOp.read, 0, 0)), { name: 'too late' });
      return undefined;
    });
    expect(() => world.run()).toThrow(/SLEEP_IN_ATOMIC/);
  });
});

describe('bioPoll', () => {
  it('takes the completions of a polled bio; a disk that cannot be polled refuses it', () => {
    const { world, memory, disk } = bench();
    const kernel = new KernelPages(memory);
    const refused = kernel.bio(BioOp.read, 0, kernel.frames(1), 1);
    refused.flags = REQ_POLLED;
    submitBio(disk, refused);
    world.run();
    expect(kernel.ended).toEqual([`1:${BlkStatus.notSupp}`]);

    const polled = bench({ poll: true });
    const other = new KernelPages(polled.memory);
    polled.disk.poll = () => {
      const bios = polled.disk.held.splice(0);
      for (const bio of bios) polled.disk.finish(bio);
      return bios.length;
    };
    const bio = other.bio(BioOp.read, 0, other.frames(1), 2);
    bio.flags = REQ_POLLED;
    expect(bioPoll(bio)).toBe(0);
    submitBio(polled.disk, bio);
    expect([bioPoll(bio), bioPoll(bio)]).toEqual([1, 0]);
    expect(other.ended).toEqual(['2:0']);
  });
});
