/** Files that are larger than memory: reclaim, the flusher and a slow disk together. */
import { MAP_SHARED, Memory, PAGE_SIZE, PROT_READ, PROT_WRITE, assertMemorySane } from '@pincushion/mm';
import type { MappableFile } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { DiskBlockStore, newFileSystem } from '../src/index';
import { SlowDisk } from './slow-disk';

const PAGES = 1800;
const DISK_BYTES = 16 << 20;

function* wait(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}

/** A machine of 8 MiB, of which four can be had, with a file on a disk of sixteen. */
function setUp() {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 8 << 20, ledger: 'counts', writeback: { flusher: true } });
  const disk = new SlowDisk(memory, new Uint8Array(DISK_BYTES), { volatileCache: true, fua: true });
  const fs = world.complete(newFileSystem(memory, new DiskBlockStore(memory, disk, PAGE_SIZE)));
  const opened = fs.create('/big');
  const file = typeof opened === 'number' || 'mapping' in opened ? opened : world.complete(opened);
  if (typeof file === 'number') throw new Error(`create: ${file}`);
  return { world, memory, fs, file };
}

type Machine = ReturnType<typeof setUp>;

function run({ world, memory }: Machine, body: Task<number>): number {
  const thread = world.spawn(body, { name: 'program' });
  world.run();
  expect(thread.state).toBe('done');
  assertMemorySane(memory);
  return thread.result ?? -1;
}

/** Reads all pages with read(2): how many do not have the byte that `expected` says. */
function* wrongPages(file: MappableFile, expected: (page: number) => number): Task<number> {
  const page = new Uint8Array(PAGE_SIZE);
  let wrong = 0;
  for (let i = 0; i < PAGES; i++) {
    const got = yield* wait(file.read(i * PAGE_SIZE, page, 0, PAGE_SIZE));
    if (got !== PAGE_SIZE || page[0] !== expected(i) || page[PAGE_SIZE - 1] !== expected(i)) wrong++;
  }
  return wrong;
}

describe('a file that is larger than memory', () => {
  it('is written and read whole: dirty pages are written, clean ones make room', () => {
    const machine = setUp();
    const { memory, file, world } = machine;
    const failed = run(
      machine,
      (function* () {
        let errors = 0;
        for (let i = 0; i < PAGES; i++) {
          const page = new Uint8Array(PAGE_SIZE).fill(i % 251);
          if ((yield* wait(file.write(i * PAGE_SIZE, page, 0, PAGE_SIZE))) !== PAGE_SIZE) errors++;
        }
        return errors;
      })(),
    );
    expect(failed).toBe(0);
    expect(
      run(
        machine,
        wrongPages(file, (page) => page % 251),
      ),
    ).toBe(0);
    expect(memory.pressure.pagesFreedByKswapd + memory.pressure.pagesFreedDirectly).toBeGreaterThan(PAGES);
    expect([memory.vmstat.pswpout, world.findings.all]).toEqual([0, []]);
  });

  it('can be written through a mapping: the disk has what was stored', () => {
    const machine = setUp();
    const { memory, file, world } = machine;
    const mm = memory.createMm('program');
    const errors = run(
      machine,
      (function* () {
        let failed = 0;
        if ((yield* wait(file.truncate(PAGES * PAGE_SIZE))) < 0) failed++;
        const address = yield* wait(mm.mmap(PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, file.backing));
        for (let i = 0; i < PAGES; i++) {
          const page = new Uint8Array(PAGE_SIZE).fill(i % 249);
          if ((yield* wait(mm.write(address + i * PAGE_SIZE, page))) !== PAGE_SIZE) failed++;
        }
        if ((yield* wait(file.fsync())) < 0) failed++;
        return failed;
      })(),
    );
    expect(errors).toBe(0);
    expect(
      run(
        machine,
        wrongPages(file, (page) => page % 249),
      ),
    ).toBe(0);
    expect(memory.vmstat.pswpout).toBe(0);
    expect(world.findings.all).toEqual([]);
    world.settle(mm.exit());
    assertMemorySane(memory);
  });
});
