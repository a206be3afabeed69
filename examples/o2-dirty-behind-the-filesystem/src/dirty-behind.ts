/**
 * Objective O2 of the debate of 2018: a driver marks a page dirty that its file system takes for clean.
 *
 * A program maps a file and lets a frame grabber fill its page. While frame 2 comes in, the page is written back, which makes
 * it clean, and then memory runs short: reclaim unmaps the page and, on kernels before 6.4, takes the file system's buffers
 * off it, since a clean page needs none. The page itself stays, because it is pinned. When the frame is complete, the
 * driver marks the page dirty, as it must. The file system was never asked, and the next fsync shows what that means.
 */
import { FrameGrabber, frameText, plugin as grabber } from '@pincushion/example-frame-grabber';
import { MemoryBlockStore, newFileSystem } from '@pincushion/fs';
import type { Process } from '@pincushion/machine';
import { Machine, O_CREAT, parseMachine } from '@pincushion/machine';
import type { PinnedWriteback, WritebackCounts } from '@pincushion/mm';
import {
  MADV_PAGEOUT,
  MAP_SHARED,
  MECHANISMS,
  PAGE_SIZE,
  PG_dirty,
  PG_private,
  PROT_READ,
  PROT_WRITE,
  indexOf,
  regionOf,
} from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { PincushionError, World, errnoName } from '@pincushion/sim';

/** Of the grabber, for 512 bytes. */
const CHUNK_NS = 5_000;
const STORE_BLOCKS = 1024;

export interface Setting {
  readonly kernel: string;
  readonly pinned: PinnedWriteback;
  /** Who writes the page in the middle of the frame. */
  readonly by: 'fsync' | 'flusher';
}

/** A line of the timeline. */
export interface Moment {
  readonly atNs: number;
  readonly what: string;
  readonly isTurn: boolean;
}

export interface Outcome {
  readonly setting: Setting;
  /** The page as the program sees it at the end, and the block on the disk after the last fsync. */
  readonly expected: Uint8Array;
  readonly found: Uint8Array;
  readonly isSaved: boolean;
  /** What the last fsync said: 0, -errno, or with which words the kernel stopped. */
  readonly fsync: number | string;
  /** The page still had the file system's buffers when the driver marked it dirty. */
  readonly hadBuffers: boolean;
  /** Times the page became dirty, and how often the file system was asked before. */
  readonly becameDirty: number;
  readonly asked: number;
  readonly counts: WritebackCounts;
  readonly timeline: readonly Moment[];
}

/** Runs it once. Throws when the machine itself does not work. */
export function dirtyBehindTheFileSystem(setting: Setting): Outcome {
  return new Run(setting).outcome();
}

class Run {
  private readonly world = new World();
  private readonly machine: Machine;
  private readonly store: MemoryBlockStore;
  private readonly program: Process;
  private readonly timeline: Moment[] = [];
  private address = 0;
  private fd = 0;
  private page = 0;
  private hadBuffers = true;
  private becameDirty = 0;
  private asked = 0;
  /** The page was clean when memory was short. */
  private wasClean = false;
  private fsync: number | string = 0;

  constructor(private readonly setting: Setting) {
    const { kernel, pinned, by } = setting;
    const writeback = { pinned, flusher: by === 'flusher', flushInterval: '100ms', dirtyExpire: CHUNK_NS };
    const devices = [{ name: 'grabber0', plugin: grabber.name, model: { chunkNs: CHUNK_NS } }];
    const description = parseMachine(
      { memory: { ram: '64MiB', writeback }, kernel, cpus: 2, ledger: 'full', devices },
      'o2',
    );
    this.machine = this.world.complete(Machine.boot(this.world, description, { plugins: [grabber] }), 'boot');
    const { memory } = this.machine;
    this.store = new MemoryBlockStore(memory, STORE_BLOCKS);
    const fs = this.world.complete(newFileSystem(memory, this.store, { name: 'data' }), 'mkfs');
    this.machine.files.mount('/data', fs);
    this.program = this.machine.process('program');
  }

  outcome(): Outcome {
    const { world, machine } = this;
    world.complete(this.prepare(), 'program');
    this.watch();
    world.complete(this.play(), 'program');
    const expected = new Uint8Array(PAGE_SIZE);
    world.settle(this.program.read(this.address, expected));
    try {
      this.fsync = world.complete(this.program.fsync(this.fd), 'program');
      this.note(`fsync says ${this.fsync === 0 ? 'that all is on the disk' : errnoName(this.fsync)}`, true);
    } catch (error) {
      if (!(error instanceof PincushionError) || error.code !== 'KERNEL_BUG') throw error;
      this.fsync = error.message;
      this.note('fsync: the kernel stops with BUG', true);
    }
    const found = this.blockOnDisk();
    const isSaved = found.every((byte, i) => byte === expected[i]);
    const { hadBuffers, becameDirty, asked, fsync, timeline, setting } = this;
    const counts = { ...machine.memory.writeback.counts };
    return { setting, expected, found, isSaved, fsync, hadBuffers, becameDirty, asked, counts, timeline };
  }

  /** A file of one page with frame 1, on the disk. */
  private *prepare(): Task {
    const { program } = this;
    this.fd = yield* must('open', program.open('/data/frames', O_CREAT));
    yield* must('ftruncate', program.ftruncate(this.fd, PAGE_SIZE));
    this.address = yield* must(
      'mmap',
      settled(program.mmapFile(this.fd, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED)),
    );
    yield* this.take(1);
    yield* must('fsync', program.fsync(this.fd));
    this.page = program.mm.pageTable.frameAt(regionOf(this.address), indexOf(this.address));
  }

  /** Frame 2; in its middle the page is written back, and then memory is short. */
  private *play(): Task {
    const { world, program, machine, setting } = this;
    const taking = world.spawn(this.take(2), { name: 'grab', cpu: 1 });
    yield* world.sleep(CHUNK_NS * 3 + CHUNK_NS / 2);
    const syncing = setting.by === 'fsync' ? world.spawn(program.fsync(this.fd), { name: 'fsync' }) : null;
    if (syncing === null) machine.memory.writeback.wakeFlushers();
    yield* world.sleep(CHUNK_NS);
    const had = this.hasBuffers();
    this.wasClean = (machine.memory.frames.flags[this.page] & PG_dirty) === 0;
    yield* must('madvise', settled(program.madvise(this.address, PAGE_SIZE, MADV_PAGEOUT)));
    this.note('memory is short: reclaim unmaps the page, which stays because it is pinned', false);
    if (had && !this.hasBuffers()) this.note('reclaim takes the buffers off the clean page', true);
    yield* taking.join();
    if (syncing !== null) yield* syncing.join();
  }

  private *take(frame: number): Task {
    const camera = yield* FrameGrabber.open(this.program);
    if (typeof camera === 'number') throw new PincushionError('INTERNAL', `open: ${errnoName(camera)}`);
    yield* must('grab', camera.grab(this.address, PAGE_SIZE, frame));
    yield* camera.close();
  }

  // ---- what happened -----------------------------------------------------------------------------------------------------

  private note(what: string, isTurn: boolean): void {
    this.timeline.push({ atNs: this.world.now, what, isTurn });
  }

  private hasBuffers(): boolean {
    return (this.machine.memory.frames.flags[this.page] & PG_private) !== 0;
  }

  /** From the tracepoints of the machine, which see and do not steer. */
  private watch(): void {
    const { world, machine } = this;
    const { memory } = machine;
    world.trace.subscribe(
      (point, frame) => {
        if (point.name === 'fs:lost-write') {
          this.note('the file system has no buffers for the page: it warns, and writes nothing', true);
          return undefined;
        }
        if (frame !== this.page) return undefined;
        if (point.name === 'gup:pin') this.note("the grabber's driver pins the page for one frame", false);
        else this.released();
        return undefined;
      },
      ['gup:pin', 'gup:unpin', 'fs:lost-write'],
    );
    memory.mechanisms.listen((_point, mechanism, frame) => {
      if (frame !== this.page) return undefined;
      const { name } = MECHANISMS[mechanism];
      if (name === 'fileWrite') {
        this.asked++;
        this.becameDirty++;
        this.note('the page may be written to now: the file system is asked, and has buffers for it', false);
      } else if (name === 'cleaned') {
        this.note('writeback makes the page clean, and read-only for programs', true);
      }
      return undefined;
    });
  }

  /** The driver has marked the page dirty and unpins it. */
  private released(): void {
    const isDirty = (this.machine.memory.frames.flags[this.page] & PG_dirty) !== 0;
    this.hadBuffers = this.hasBuffers();
    if (!isDirty || !this.wasClean) {
      this.note('the frame is complete: the driver marks the page dirty, which it was, and unpins it', false);
      return;
    }
    this.becameDirty++;
    const how = this.hadBuffers ? 'without asking the file system' : 'and the file system has nothing to write it with';
    this.note(`the frame is complete: the driver marks the page dirty, ${how}`, true);
  }

  /** The block with the file's content, as the disk has it. */
  private blockOnDisk(): Uint8Array {
    const start = frameText(1).slice(0, 6);
    for (let block = 0; block < STORE_BLOCKS; block++) {
      const content = this.store.peek(block);
      if (new TextDecoder().decode(content.subarray(0, 6)) === start) return content;
    }
    return new Uint8Array(PAGE_SIZE);
  }
}

function* settled(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}

function* must(what: string, call: Task<number>): Task<number> {
  const n = yield* call;
  if (n < 0) throw new PincushionError('INTERNAL', `${what}: ${errnoName(n)}`);
  return n;
}
