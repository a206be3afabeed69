import {
  BioOp,
  BioPages,
  BioPool,
  BlkStatus,
  bioCheckPagesDirty,
  bioEndIo,
  bioReleasePages,
  bioSetPagesDirty,
  submitBio,
} from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { FOLL_WRITE, PAGE_SIZE, PG_dirty } from '@pincushion/mm';
import type { GottenPages, PinnedPages } from '@pincushion/mm';
import { Context } from '@pincushion/sim';
import { bench } from './machine-under-test';

describe('a bio', () => {
  it('is ended once; a driver that ends it twice is stopped, with both call sites', () => {
    const { disk, io, buffer, run } = bench();
    run(io.submit(BioOp.read, buffer(1), 512, 0, 0, 1));
    const [bio] = disk.held;
    firstCompletion(bio);
    expect(() => {
      secondCompletion(bio);
    }).toThrow(
      /BIO_ENDED_TWICE: bio \d+ was ended at bio\.test\.ts:\d+:\d+ \(secondCompletion\).*device ram0.*the first came from bio\.test\.ts:\d+:\d+ \(firstCompletion\)/,
    );
  });

  it('ended twice is found without call sites, too, and says how to get them', () => {
    const { disk, io, buffer, run } = bench({}, 'counts');
    run(io.submit(BioOp.read, buffer(1), 512, 0, 0, 1));
    const [bio] = disk.held;
    firstCompletion(bio);
    expect(() => {
      secondCompletion(bio);
    }).toThrow(/BIO_ENDED_TWICE.*secondCompletion.*Try the ledger's mode full/);
  });

  it('ended twice is found even when others were submitted since: the full ledger keeps bios apart', () => {
    const { disk, io, buffer, run } = bench();
    const address = buffer(1);
    run(io.submit(BioOp.read, address, 512, 0, 0, 1));
    const [bio] = disk.held;
    disk.interrupt();
    for (let i = 0; i < 32; i++) run(io.submit(BioOp.read, address, 512, 0, 0, 1));
    expect(() => {
      secondCompletion(bio);
    }).toThrow(/BIO_ENDED_TWICE/);
  });

  it('that a driver never ends is named at the end of the run, once, with operation, sector and age', () => {
    const { world, io, buffer, run, finding, codes } = bench();
    run(io.submit(BioOp.write, buffer(1), 4096, 24, 0, 1));
    world.after(7_000, Context.task, () => undefined);
    world.run();
    world.checkAtEnd();
    const { details, device, sites } = finding('BIO_NEVER_ENDED');
    expect(device).toBe('ram0');
    expect(details[0]).toMatch(/^bio \d+: write of 4096 bytes at sector 24 of ram0, submitted 7.* ago$/);
    expect(sites[0].site).toContain('bio.test.ts');
    expect(codes()).toContain('PIN_LEAK');
    world.findings.clear();
    world.checkAtEnd();
    expect(codes()).not.toContain('BIO_NEVER_ENDED');
  });

  it('has an id that no other bio has, in any pool of the world', () => {
    const { memory } = bench();
    const pools = [new BioPool(memory, 1), new BioPool(memory, 1)];
    const ids = new Set<number>();
    for (let i = 0; i < 100; i++) {
      for (const pool of pools) {
        const bio = pool.alloc();
        ids.add(bio.id);
        pool.free(bio);
      }
    }
    expect(ids.size).toBe(200);
  });

  it('has an id that stays a positive int32 however many were there, and differs from those of late', () => {
    const { memory } = bench({}, 'counts');
    const pool = new BioPool(memory, 1);
    const held = pool.alloc();
    let last = held.id;
    let odd = 0;
    for (let i = 0; i < 2_100_000; i++) {
      const bio = pool.alloc();
      if (bio.id === last || bio.id !== (bio.id | 0) || bio.id <= 0) odd++;
      last = bio.id;
      pool.free(bio);
    }
    expect(odd).toBe(0);
    expect(pool.live).toBe(1);
  });

  it('comes from its pool as new, whatever it was used for', () => {
    const { memory } = bench({}, 'counts');
    const pool = new BioPool(memory, 4);
    const bio = pool.alloc();
    expect(pool.live).toBe(1);
    Object.assign(bio, { op: BioOp.write, bytes: 512, sector: 9, flags: 1, status: 4, firstOffset: 3, retries: 2 });
    pool.free(bio);
    const again = pool.alloc();
    expect(again).toBe(bio);
    expect(again).toMatchObject({
      bytes: 0,
      flags: 0,
      status: 0,
      firstOffset: 0,
      retries: 0,
      pageCount: 0,
      pageKind: 0,
    });
  });

  it('must not be freed twice, in flight, or with its pages', () => {
    const { memory, disk, mm, buffer, run } = bench();
    const pool = new BioPool(memory, 1);
    const bio = pool.alloc();
    run(memory.gup.pinUserPages(mm, buffer(1), 1, FOLL_WRITE, bio.pages as PinnedPages, 0, 0));
    bio.pageKind = BioPages.pin;
    bio.pageCount = 1;
    bio.bytes = 512;
    expect(() => {
      pool.free(bio);
    }).toThrow(/with its pages still held/);
    submitBio(disk, bio);
    expect(() => {
      pool.free(bio);
    }).toThrow(/BIO_INVALID.*while the driver still has it.*ram0/);
    disk.interrupt();
    run(bioReleasePages(bio, memory, false));
    pool.free(bio);
    expect(() => {
      pool.free(bio);
    }).toThrow(/a second time/);
  });

  it.each([
    ['pages that do not hold its data', { bytes: 129 * 1024 }, /pages of bio \d+ do not hold its data/],
    ['more pages than data', { bytes: 512, pageCount: 34 }, /pages of bio \d+ do not hold its data/],
    ['a part of a block', { bytes: 100 }, /covers a part of a block/],
  ])('with %s is not submitted', (_what, fields, message) => {
    const { memory, disk } = bench();
    const bio = Object.assign(new BioPool(memory, 40).alloc(), { op: BioOp.write }, fields);
    expect(() => {
      submitBio(disk, bio);
    }).toThrow(message);
    expect(disk.inFlight).toBe(0);
  });

  it('is submitted once', () => {
    const { memory, disk } = bench();
    const bio = Object.assign(new BioPool(memory, 1).alloc(), { op: BioOp.flush });
    submitBio(disk, bio);
    expect(() => {
      submitBio(disk, bio);
    }).toThrow(/BIO_INVALID.*one in flight/);
  });

  it.each([
    ['beyond the end', 4095, BlkStatus.ioerr, false],
    ['at a negative sector', -1, BlkStatus.ioerr, false],
    ['for a device that is gone', 0, BlkStatus.offline, true],
  ])('%s ends with its status, after the submission', (_what, sector, status, gone) => {
    const { world, memory, disk } = bench();
    disk.gone = gone;
    const bio = Object.assign(new BioPool(memory, 1).alloc(), { op: BioOp.writeZeroes, bytes: 1024, sector });
    const ended: number[] = [];
    bio.endIo = (one) => {
      ended.push(one.status);
      return undefined;
    };
    submitBio(disk, bio);
    expect(ended).toEqual([]);
    world.run();
    expect(ended).toEqual([status]);
    expect([disk.inFlight, disk.seen.length]).toEqual([0, 0]);
  });

  it('is told to tracepoints', () => {
    const { world, disk, io, buffer, run } = bench();
    const seen: string[] = [];
    world.trace.subscribe(
      (tp, a, b, c, d) => {
        seen.push([tp.name, a, b, c, d].join(' '));
        return undefined;
      },
      ['block:submit', 'block:complete'],
    );
    run(io.submit(BioOp.read, buffer(1), 4096, 16, 0, 1));
    const { id } = disk.held[0];
    disk.interrupt(BlkStatus.medium);
    expect(seen).toEqual([`block:submit ${id} 0 16 8`, `block:complete ${id} 7 0 8`]);
  });
});

describe('the pages of a read', () => {
  it('are dirty before the device writes, so that the interrupt gives them back at once (B-08, B-09)', () => {
    const { memory, disk, io, buffer, run, pinned } = bench();
    run(io.submit(BioOp.read, buffer(2), 8192, 0, 0, 1));
    const [bio] = disk.held;
    expect([memory.gup.isDirty(bio.pages[0]), memory.gup.isDirty(bio.pages[1])]).toEqual([true, true]);
    let heldInInterrupt = -1;
    disk.held.length = 0;
    io.onDone = () => {
      heldInInterrupt = pinned();
      return undefined;
    };
    disk.finish(bio);
    expect(heldInInterrupt).toBe(0);
  });

  it('that somebody cleaned meanwhile are dirtied by a work item, the whole bio later (B-09)', () => {
    const { world, memory, disk, io, buffer, run, pinned, done } = bench();
    run(io.submit(BioOp.read, buffer(2), 8192, 0, 0, 1));
    const [bio] = disk.held;
    const frame = bio.bioVec(1).page;
    clean(memory.frames.flags, frame);
    expect(memory.gup.isDirty(bio.pages[1])).toBe(false);
    world.after(0, Context.hardirq, () => {
      disk.finish(bio);
      expect(pinned()).toBe(2);
      expect(done).toEqual(['1:8192']);
      return undefined;
    });
    world.run();
    expect(memory.gup.isDirty(frame)).toBe(true);
    expect([pinned(), io.liveBios]).toEqual([0, 0]);
  });

  it('of a write are not dirtied', () => {
    const { memory, disk, io, mm, buffer, run } = bench();
    const address = buffer(1);
    run(io.submit(BioOp.write, address, 512, 0, 0, 1));
    const frame = disk.held[0].bioVec(0).page;
    clean(memory.frames.flags, frame);
    disk.interrupt();
    expect(memory.gup.isDirty(frame)).toBe(false);
    expect(mm.memory).toBe(memory);
  });
});

describe('the kind of pages that a bio carries (B-06)', () => {
  it('none: nothing is given back', () => {
    const { memory, run } = bench();
    const bio = new BioPool(memory, 1).alloc();
    bio.pages[0] = memory.allocFolio(0);
    bio.pageCount = 1;
    expect(run(bioReleasePages(bio, memory, true))).toBe(0);
    expect(memory.frames.refcount[bio.pages[0]]).toBe(1);
  });

  it('get: references are put, not unpinned', () => {
    const { memory, mm, buffer, run, codes } = bench();
    const bio = new BioPool(memory, 2).alloc();
    run(memory.gup.getUserPages(mm, buffer(2), 2, FOLL_WRITE, bio.pages as GottenPages, 0, 0));
    bio.pageKind = BioPages.get;
    bio.pageCount = 2;
    bio.bytes = 2 * PAGE_SIZE;
    const frame = bio.bioVec(0).page;
    expect(memory.frames.refcount[frame]).toBe(2);
    clean(memory.frames.flags, frame);
    run(bioReleasePages(bio, memory, true));
    expect(memory.frames.refcount[frame]).toBe(1);
    expect(memory.gup.isDirty(frame)).toBe(true);
    expect(memory.ledger.counters).toMatchObject({ getsAcquired: 2, getsReleased: 2 });
    expect(codes()).toEqual([]);
  });

  it('pin: pins are given back once, dirty if asked', () => {
    const { memory, mm, buffer, run, pinned } = bench();
    const pool = new BioPool(memory, 1);
    const bio = pool.alloc();
    run(memory.gup.pinUserPages(mm, buffer(1), 1, FOLL_WRITE, bio.pages as PinnedPages, 0, 0));
    bio.pageKind = BioPages.pin;
    bio.pageCount = 1;
    bio.bytes = PAGE_SIZE;
    const frame = bio.bioVec(0).page;
    clean(memory.frames.flags, frame);
    run(bioReleasePages(bio, memory, true));
    expect(run(bioReleasePages(bio, memory, true))).toBe(0);
    expect([pinned(), memory.gup.isDirty(frame)]).toEqual([0, true]);
  });

  it('checks and dirties pages through the same functions that direct I/O uses', () => {
    const { memory, mm, buffer, run, pinned } = bench();
    const pool = new BioPool(memory, 1);
    const bio = pool.alloc();
    run(memory.gup.pinUserPages(mm, buffer(1), 1, FOLL_WRITE, bio.pages as PinnedPages, 0, 0));
    bio.pageKind = BioPages.pin;
    bio.pageCount = 1;
    clean(memory.frames.flags, bio.bioVec(0).page);
    bioSetPagesDirty(bio, memory);
    bioCheckPagesDirty(bio, memory);
    expect([pinned(), pool.live]).toEqual([0, 0]);
  });
});

describe('a disk', () => {
  it('can be waited for until no bio is in flight', () => {
    const { world, disk, io, buffer, run } = bench();
    disk.latencyNs = 3_000;
    world.complete(disk.waitIdle());
    const address = buffer(1);
    run(io.submit(BioOp.read, address, 512, 0, 0, 1));
    run(io.submit(BioOp.read, address, 512, 8, 0, 2));
    expect(disk.inFlight).toBe(2);
    world.complete(disk.waitIdle());
    expect([disk.inFlight, world.now]).toEqual([0, 3_000]);
  });
});

function firstCompletion(bio: Bio): void {
  bioEndIo(bio, BlkStatus.ok);
}

function secondCompletion(bio: Bio): void {
  bioEndIo(bio, BlkStatus.ok);
}

/** What writeback does: the page is clean although somebody has it pinned. */
function clean(flags: Int32Array, frame: number): void {
  flags[frame] &= ~PG_dirty;
}
