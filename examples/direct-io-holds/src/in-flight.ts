/**
 * A direct read in flight, and what others make of the page that the disk fills.
 *
 * The disk has a page full of "D". A program reads it directly into a buffer; before the data comes, somebody reclaims, forks,
 * writes back or truncates. Then the buffer is looked at: by the program, and where the page is now.
 */
import { newMemoryFileSystem } from '@pincushion/fs';
import type { Process } from '@pincushion/machine';
import { Machine, O_CREAT, parseMachine } from '@pincushion/machine';
import type { DirectIoHold, PinnedWriteback } from '@pincushion/mm';
import {
  MADV_PAGEOUT,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  PTE_PRESENT,
  indexOf,
  regionOf,
} from '@pincushion/mm';
import { plugin as nvme } from '@pincushion/nvme-p2p';
import type { MaySleep, Task } from '@pincushion/sim';
import { PincushionError, World, errnoName } from '@pincushion/sim';

const RW = PROT_READ | PROT_WRITE;
/** The disk needs longer. */
const MIDDLE_NS = 20_000;
const DATA = 'D'.charCodeAt(0);

export const DISTURBANCES = ['reclaim', 'fork', 'writeback', 'truncate'] as const;
export type Disturbance = (typeof DISTURBANCES)[number];

export interface Disturbed {
  readonly hold: DirectIoHold;
  readonly by: Disturbance;
  /** What became of the page while the disk filled it. */
  readonly page: 'stays mapped' | 'is replaced by a copy' | 'is unmapped' | 'is write-protected' | 'leaves the file';
  /** The program finds what the disk sent, at the end. */
  readonly arrives: boolean;
  /** How long the disturber waited for the I/O. */
  readonly waitedNs: number;
  /** Pages whose last dirtying and release a work item had to do. */
  readonly deferred: number;
}

/** `policy`: of the machine, for pinned pages in writeback. Throws when the machine itself does not work. */
export function disturb(hold: DirectIoHold, by: Disturbance, policy: PinnedWriteback): Disturbed {
  return new Run(hold, by, policy).result();
}

class Run {
  private readonly world = new World();
  private readonly machine: Machine;
  private readonly program: Process;
  private buffer = 0;
  private fd = 0;
  /** Where the disk writes. */
  private frame = 0;
  private waitedNs = 0;
  private page: Disturbed['page'] = 'stays mapped';

  constructor(
    private readonly hold: DirectIoHold,
    private readonly by: Disturbance,
    policy: PinnedWriteback,
  ) {
    const memory = { ram: '64MiB', swap: '16MiB', directIo: hold, writeback: { pinned: policy, flusher: false } };
    const devices = [{ name: 'nvme0', plugin: nvme.name, model: { latency: { jitterNs: 0 } } }];
    const description = parseMachine({ memory, cpus: 2, ledger: 'full', devices }, 'direct-io-holds');
    this.machine = this.world.complete(Machine.boot(this.world, description, { plugins: [nvme] }), 'boot');
    this.machine.files.mount('/data', newMemoryFileSystem(this.machine.memory, { blocks: 4096 }));
    this.program = this.machine.process('program');
  }

  result(): Disturbed {
    const { world, machine, hold, by } = this;
    const arrives = world.complete(this.play(), 'program');
    world.complete(machine.shutdown(), 'shutdown');
    const [finding] = world.findings.all;
    if ((finding as unknown) !== undefined) throw new PincushionError('INTERNAL', finding.summary);
    const deferred = machine.memory.writeback.counts.biosDeferred;
    return { hold, by, page: this.page, arrives, waitedNs: this.waitedNs, deferred };
  }

  private *play(): Task<boolean> {
    const { world, program } = this;
    const disk = yield* must('open', program.open('/dev/nvme0n1'));
    this.buffer = yield* must('mmap', settled(program.mmap(PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS)));
    yield* this.store(DATA, PAGE_SIZE);
    yield* must('pwrite', program.pwrite(disk, this.buffer, PAGE_SIZE, 0));
    if (this.by === 'writeback' || this.by === 'truncate') yield* this.useFile();
    yield* this.store(0, PAGE_SIZE);
    this.frame = this.frameNow();
    const reading = world.spawn(program.pread(disk, this.buffer, PAGE_SIZE, 0), { name: 'read' });
    yield* world.sleep(MIDDLE_NS);
    const since = world.now;
    const disturbing = world.spawn(this.disturb(), { name: this.by });
    yield* world.sleep(1);
    this.page = this.look();
    yield* disturbing.join();
    this.waitedNs = world.now - since - 1;
    yield* must('pread', reading.join());
    return yield* this.hasData();
  }

  /** The buffer is a page of a mapped file from now on. */
  private *useFile(): Task {
    const { program } = this;
    this.fd = yield* must('open', program.open('/data/file', O_CREAT));
    yield* must('ftruncate', program.ftruncate(this.fd, PAGE_SIZE));
    this.buffer = yield* must('mmap', settled(program.mmapFile(this.fd, PAGE_SIZE, RW, MAP_SHARED)));
  }

  private *disturb(): Task {
    const { program, by } = this;
    if (by === 'reclaim') yield* must('madvise', settled(program.madvise(this.buffer, PAGE_SIZE, MADV_PAGEOUT)));
    else if (by === 'writeback') yield* must('fsync', program.fsync(this.fd));
    else if (by === 'truncate') yield* must('ftruncate', program.ftruncate(this.fd, 0));
    else {
      const child = program.fork('child');
      if (typeof child === 'number') throw new PincushionError('INTERNAL', `fork: ${errnoName(child)}`);
      yield* this.store(0, 1); // the program goes on working beside what the disk fills
    }
  }

  private look(): Disturbed['page'] {
    const { pageTable } = this.program.mm;
    const entry = pageTable.flagsAt(regionOf(this.buffer), indexOf(this.buffer));
    if ((entry & PTE_PRESENT) === 0) return this.by === 'truncate' ? 'leaves the file' : 'is unmapped';
    if (this.frameNow() !== this.frame) return 'is replaced by a copy';
    return this.by === 'writeback' ? 'is write-protected' : 'stays mapped';
  }

  private frameNow(): number {
    return this.program.mm.pageTable.frameAt(regionOf(this.buffer), indexOf(this.buffer));
  }

  /** The last byte of the buffer, as the program sees it. A file that was cut to nothing has none. */
  private *hasData(): Task<boolean> {
    const byte = new Uint8Array(1);
    const read = yield* settled(this.program.read(this.buffer + PAGE_SIZE - 1, byte));
    return read === 1 && byte[0] === DATA;
  }

  private *store(byte: number, n: number): Task {
    yield* must('store', settled(this.program.write(this.buffer, new Uint8Array(n).fill(byte))));
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
