/**
 * Objective O1 of the debate of 2018: a page must not be written to disk while a device still writes to it.
 *
 * A program maps a file and lets a frame grabber fill its page, frame after frame. While frame 2 comes in, the page is
 * written back: because somebody calls fsync, or because the flusher finds it dirty. Nothing is scripted: the block on the
 * disk is compared with what the file system gave to the disk, byte by byte, after the write has ended.
 */
import { FrameGrabber, frameText, plugin as grabber } from '@pincushion/example-frame-grabber';
import { newFileSystem } from '@pincushion/fs';
import type { MachineInput, Process } from '@pincushion/machine';
import { Machine, O_CREAT, parseMachine } from '@pincushion/machine';
import type { GupUnderWriteback, PinnedWriteback, WritebackCounts } from '@pincushion/mm';
import { MAP_SHARED, MECHANISMS, PAGE_SIZE, PROT_READ, PROT_WRITE, indexOf, regionOf } from '@pincushion/mm';
import { plugin as nvme } from '@pincushion/nvme-p2p';
import type { MaySleep, Task } from '@pincushion/sim';
import { EIO, PincushionError, World, errnoName } from '@pincushion/sim';
import { ChecksummedBlocks } from './checksummed-blocks';
import type { Given } from './checksummed-blocks';

/** Of the grabber, for 512 bytes. */
const CHUNK_NS = 5_000;
/** The page is written when so much of the frame is there. */
const CHUNKS_BEFORE = 3;

export interface Setting {
  readonly kernel?: string;
  readonly pinned: PinnedWriteback;
  readonly gup?: GupUnderWriteback;
  /** The store wants pages that do not change while they are written; it has checksums. */
  readonly stableWrites?: boolean;
  /** Who writes the page. */
  readonly by: 'fsync' | 'flusher';
  /** What begins first: the frame, or the write of the page to the disk. */
  readonly first?: 'frame' | 'write';
}

/** A line of the timeline. */
export interface Moment {
  readonly atNs: number;
  readonly what: string;
  /** What matters about it. */
  readonly isTurn: boolean;
}

export interface Outcome {
  readonly setting: Setting;
  /** What the file system gave to the disk last, and what is there. Null: nothing was written while the frame came in. */
  readonly expected: Uint8Array | null;
  readonly found: Uint8Array;
  /** The block is what was given to the disk. */
  readonly isIntact: boolean;
  /** What reading the block back through the store says: 0, or -EIO for a wrong checksum. */
  readonly readBack: number;
  /** The block has one frame, and not parts of two. */
  readonly isWholeFrame: boolean;
  /** What fsync said, and how long it took; null when it was the flusher. */
  readonly fsync: { readonly result: number; readonly tookNs: number } | null;
  /** What taking frame 2 said, in bytes or -errno, and how long it took. */
  readonly grab: { readonly result: number; readonly tookNs: number };
  readonly counts: WritebackCounts;
  readonly timeline: readonly Moment[];
}

/** Runs it once. Throws when the machine itself does not work. */
export function writeWhileDeviceWrites(setting: Setting): Outcome {
  return new Run(setting).outcome();
}

class Run {
  private readonly world = new World();
  private readonly machine: Machine;
  private readonly store: ChecksummedBlocks;
  private readonly program: Process;
  private readonly timeline: Moment[] = [];
  private fsync: Outcome['fsync'] = null;
  private grab: Outcome['grab'] = { result: 0, tookNs: 0 };
  private address = 0;
  private fd = 0;

  constructor(private readonly setting: Setting) {
    const { pinned, gup, by, kernel = '6.18', stableWrites = false } = setting;
    const description: MachineInput = {
      memory: {
        ram: '64MiB',
        writeback: {
          pinned,
          ...(gup === undefined ? {} : { gup }),
          flusher: by === 'flusher',
          // By itself it comes too late to disturb: it is woken in the middle of the frame, as when memory is short.
          flushInterval: '100ms',
          dirtyExpire: CHUNK_NS,
        },
      },
      kernel,
      cpus: 2,
      ledger: 'full',
      devices: [
        {
          name: 'nvme0',
          plugin: nvme.name,
          model: { namespaces: [{ capacity: '64MiB', blockBytes: 4096 }], latency: { jitterNs: 0 } },
        },
        { name: 'grabber0', plugin: grabber.name, model: { chunkNs: CHUNK_NS } },
      ],
    };
    const plugins = [nvme, grabber];
    this.machine = this.world.complete(Machine.boot(this.world, parseMachine(description, 'o1'), { plugins }), 'boot');
    const { memory } = this.machine;
    this.store = new ChecksummedBlocks(memory, this.machine.disk('nvme0n1'), stableWrites);
    const fs = this.world.complete(newFileSystem(memory, this.store, { name: 'data' }), 'mkfs');
    this.machine.files.mount('/data', fs);
    this.program = this.machine.process('program');
  }

  outcome(): Outcome {
    const { world, machine } = this;
    world.complete(this.prepare(), 'program');
    const before = { ...machine.memory.writeback.counts };
    const writes = this.store.given.length;
    const unwatch = this.watch();
    world.complete(this.play(), 'program');
    unwatch();
    const block = world.complete(this.look(writes), 'look');
    const after = machine.memory.writeback.counts;
    const counts = Object.fromEntries(
      Object.entries(after).map(([name, value]) => [name, value - before[name as keyof WritebackCounts]]),
    ) as unknown as WritebackCounts;
    world.complete(machine.shutdown(), 'shutdown');
    const [problem] = world.findings.all.filter(({ code }) => code !== 'PIN_LEAK');
    if ((problem as unknown) !== undefined) throw new PincushionError('INTERNAL', problem.summary);
    return { setting: this.setting, ...block, fsync: this.fsync, grab: this.grab, counts, timeline: this.timeline };
  }

  /** A file of one page with frame 1, on the disk. */
  private *prepare(): Task {
    const { program } = this;
    this.fd = yield* must('open', program.open('/data/frames', O_CREAT));
    yield* must('ftruncate', program.ftruncate(this.fd, PAGE_SIZE));
    const mapped = program.mmapFile(this.fd, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
    this.address = yield* must('mmap', settled(mapped));
    yield* this.take(1);
    yield* must('fsync', program.fsync(this.fd));
  }

  /** Frame 2 and a write of the page, the one in the middle of the other. */
  private *play(): Task {
    const { world, setting } = this;
    if (setting.first === 'write') {
      yield* must('store', settled(this.program.write(this.address, new TextEncoder().encode(frameText(1)))));
      const writing = world.spawn(this.sync(), { name: 'fsync' });
      yield* world.sleep(1); // the page is on its way
      yield* this.take(2);
      yield* writing.join();
      return;
    }
    const taking = world.spawn(this.take(2), { name: 'grab', cpu: 1 });
    yield* world.sleep(CHUNK_NS * CHUNKS_BEFORE + CHUNK_NS / 2);
    if (setting.by === 'fsync') yield* this.sync();
    else this.machine.memory.writeback.wakeFlushers();
    yield* taking.join();
  }

  private *take(frame: number): Task {
    const { world, program } = this;
    const camera = yield* FrameGrabber.open(program);
    if (typeof camera === 'number') throw new PincushionError('INTERNAL', `open: ${errnoName(camera)}`);
    const since = world.now;
    const result = yield* camera.grab(this.address, PAGE_SIZE, frame);
    this.grab = { result, tookNs: world.now - since };
    yield* camera.close();
  }

  private *sync(): Task {
    const since = this.world.now;
    this.note('the program calls fsync', false);
    const result = yield* this.program.fsync(this.fd);
    this.fsync = { result, tookNs: this.world.now - since };
    this.note(`fsync says ${result === 0 ? 'that all is on the disk' : errnoName(result)}`, true);
  }

  // ---- what happened -----------------------------------------------------------------------------------------------------

  private note(what: string, isTurn: boolean): void {
    this.timeline.push({ atNs: this.world.now, what, isTurn });
  }

  /** Writes the timeline: from the tracepoints of the machine, which see and do not steer. The result ends that. */
  private watch(): () => undefined {
    const { world, machine } = this;
    const page = this.frameOfPage();
    let part = 0;
    const unwatch = world.trace.subscribe(
      (point, a, _b, bytes, write) => {
        if (point.name === 'gup:pin' && a === page)
          this.note("the grabber's driver pins the page for one frame", false);
        if (point.name === 'gup:unpin' && a === page) {
          this.note('the frame is complete: the driver marks the page dirty and unpins it', false);
        }
        if (point.name !== 'dma:access' || bytes < 512) return undefined;
        if (write === 1) this.note(`the grabber writes part ${++part} of 8`, false);
        else this.note('the disk takes the page from memory', true);
        return undefined;
      },
      ['gup:pin', 'gup:unpin', 'dma:access'],
    );
    machine.memory.mechanisms.listen((_point, mechanism, frame) => {
      const { name } = MECHANISMS[mechanism];
      if (name === 'cleaned' && frame === page) {
        this.note('writeback: the page is clean, and read-only for programs; the disk is told to take it', true);
      }
      return undefined;
    });
    return unwatch;
  }

  private frameOfPage(): number {
    return this.program.mm.pageTable.frameAt(regionOf(this.address), indexOf(this.address));
  }

  /** The block as it is on the disk now, beside what was given to it. */
  private *look(writes: number) {
    const { memory } = this.machine;
    const given = this.store.given.slice(writes).filter((write) => isFrame(write));
    const last = given.at(-1);
    const block = last?.block ?? this.store.given.filter((write) => isFrame(write))[0].block;
    const scratch = memory.allocFolio(0);
    const readBack = yield* this.store.read(block, scratch, 0);
    const found = new Uint8Array(PAGE_SIZE);
    memory.bytes.read(scratch, 0, found, 0, PAGE_SIZE);
    memory.frames.put(scratch, 1);
    const expected = last?.bytes ?? null;
    return {
      expected,
      found,
      isIntact: readBack !== -EIO && (expected === null || found.every((byte, i) => byte === expected[i])),
      readBack,
      isWholeFrame: found.every((byte, i) => byte === found[i % 8]),
    };
  }
}

function isFrame({ bytes }: Given): boolean {
  return new TextDecoder().decode(bytes.subarray(0, 6)) === 'frame ';
}

function* settled(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}

function* must(what: string, call: Task<number>): Task<number> {
  const n = yield* call;
  if (n < 0) throw new PincushionError('INTERNAL', `${what}: ${errnoName(n)}`);
  return n;
}
