/**
 * One file, reached in every way at once: read(2) and write(2), a shared mapping, and direct I/O with several transfers in
 * flight, beside fsync, fadvise and forks. Each access must agree with a model of what POSIX and Linux promise:
 *
 *   - a read sees what the last write before it left, in whichever way either was made, as long as no write of the same
 *     pages is under way;
 *   - a direct read beside a direct write of the same sectors sees, sector by sector, the old content or the new;
 *   - after fsync and dropping the cache everything is on the disk, and the file system is consistent.
 *
 * Nothing is promised for buffered or mapped access beside a direct write of the same page, so there is none.
 */
import type { MaySleep, Thread } from '@pincushion/sim';
import { MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, PROT_WRITE, assertMemorySane } from '@pincushion/mm';
import type { DirectIoHold, MappableFile, Memory, PinnedWriteback } from '@pincushion/mm';
import { checkFileSystem } from '../src/index';
import type { FileDirectIo } from '../src/index';
import { map, mount, opened, plain } from './mounted';
import { SlowStoreOnDisk } from './slow-disk';

const SECTOR = 512;
const PAGES = 12;
const SECTORS = (PAGES * PAGE_SIZE) / SECTOR;
const PER_PAGE = PAGE_SIZE / SECTOR;
const DEPTH = 8;
const STEPS = 160;

type Kind = 'buffered' | 'mapped' | 'direct';

interface Access {
  readonly kind: Kind;
  readonly isWrite: boolean;
  readonly first: number;
  readonly end: number;
  readonly thread: Thread;
}

export class MixedAccess {
  private readonly machine: ReturnType<typeof mount>;
  private readonly file: MappableFile;
  private readonly store: SlowStoreOnDisk;
  private readonly io: FileDirectIo;
  private readonly mapping: number;
  private readonly buffers: number[] = [];
  /** What each sector holds; and what it held before the writes under way, if there are any. */
  private readonly content = new Uint8Array(SECTORS);
  private readonly before = new Map<number, Set<number>>();
  private readonly underWay = new Set<Access>();
  private next = 1;
  private state: number;

  constructor(
    private readonly seed: number,
    directIo: DirectIoHold,
    pinned: PinnedWriteback,
  ) {
    this.state = seed * 7919 + 17;
    let store: SlowStoreOnDisk | null = null;
    const makeStore = (memory: Memory, inner: ConstructorParameters<typeof SlowStoreOnDisk>[1]) =>
      (store = new SlowStoreOnDisk(memory, inner));
    this.machine = mount({ blocks: 512, makeStore, memory: { directIo, writeback: { pinned, flusher: true } } });
    const { fs, mm, world } = this.machine;
    this.store = store as unknown as SlowStoreOnDisk;
    this.file = opened(fs.create('data'));
    plain(this.file.truncate(PAGES * PAGE_SIZE));
    this.io = this.file.direct?.(mm, 'prog') as FileDirectIo;
    this.mapping = map(mm, this.file, PAGES);
    for (let i = 0; i <= DEPTH; i++) {
      const buffer = plain(mm.mmap(PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
      this.buffers.push(buffer);
    }
    this.store.disk.world = world;
    this.store.isSlow = true;
  }

  /** Throws, with the seed, when an access disagrees with the model. */
  run(): void {
    try {
      this.play();
    } catch (error) {
      throw new Error(`seed ${this.seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  private play(): void {
    const { world, memory, mm, fs } = this.machine;
    const { file } = this;
    for (let step = 0; step < STEPS; step++) {
      const what = this.draw(20);
      if (what === 0) world.settle(file.fsync());
      else if (what === 1) world.settle(file.fadviseDontneed());
      else if (what === 2) this.fork();
      else this.begin();
      if (this.draw(3) === 0) world.run({ untilNs: world.now + this.draw(2000) });
    }
    this.drain(() => this.underWay.size > 0);
    expect(world.settle(file.fsync())).toBe(0);
    world.settle(file.fadviseDontneed());
    for (const kind of ['direct', 'buffered', 'mapped'] as const) this.check(this.readAll(kind), 0, kind);
    world.settle(mm.munmap(this.mapping, PAGES * PAGE_SIZE));
    file.close();
    this.store.isSlow = false;
    world.run();
    expect(memory.ledger.livePins()).toEqual([]);
    assertMemorySane(memory);
    expect(world.settle(fs.unmount())).toBe(0);
    expect(world.complete(checkFileSystem(memory, this.store))).toEqual([]);
    world.checkAtEnd();
    expect(world.findings.all).toEqual([]);
  }

  private draw(n: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.state / 0x1_0000_0000) * n);
  }

  /** Starts an access that may be under way beside those that are. */
  private begin(): void {
    const kind = (['buffered', 'mapped', 'direct', 'direct'] as const)[this.draw(4)];
    const isWrite = this.draw(2) === 0;
    const first = this.draw(SECTORS);
    const end = Math.min(SECTORS, first + 1 + this.draw(3 * PER_PAGE));
    this.drain(
      () =>
        this.underWay.size >= DEPTH || [...this.underWay].some((other) => conflicts(other, kind, isWrite, first, end)),
    );
    const buffer = this.buffers.pop();
    if (buffer === undefined) throw new Error('no buffer is free');
    const value = isWrite ? 1 + (this.next++ % 255) : 0;
    for (let sector = first; sector < end; sector++) {
      if (!isWrite) continue;
      const old = this.before.get(sector) ?? new Set<number>();
      this.before.set(sector, old.add(this.content[sector]));
      this.content[sector] = value;
    }
    const { world } = this.machine;
    const thread = world.spawn(this.access(kind, isWrite, first, end, buffer, value), { name: kind });
    this.underWay.add({ kind, isWrite, first, end, thread });
  }

  private *access(kind: Kind, isWrite: boolean, first: number, end: number, buffer: number, value: number) {
    const { mm } = this.machine;
    const n = (end - first) * SECTOR;
    const position = first * SECTOR;
    const bytes = new Uint8Array(n).fill(value);
    if (kind === 'direct') {
      if (isWrite) yield* wait(mm.write(buffer, bytes));
      const done = isWrite ? this.io.write(buffer, n, position) : this.io.read(buffer, n, position);
      expect(yield* wait(done)).toBe(n);
      if (!isWrite) yield* wait(mm.read(buffer, bytes));
    } else if (kind === 'buffered') {
      const done = isWrite ? this.file.write(position, bytes, 0, n) : this.file.read(position, bytes, 0, n);
      expect(yield* wait(done)).toBe(n);
    } else {
      const at = this.mapping + position;
      expect(yield* wait(isWrite ? mm.write(at, bytes) : mm.read(at, bytes))).toBe(n);
    }
    if (!isWrite) this.check(bytes, first, kind);
    this.buffers.push(buffer);
  }

  /** Sector by sector: what the model has, or what it had before the writes under way. */
  private check(bytes: Uint8Array, first: number, kind: Kind): void {
    for (let i = 0; i * SECTOR < bytes.length; i++) {
      const seen = new Set(bytes.subarray(i * SECTOR, (i + 1) * SECTOR));
      const allowed = [this.content[first + i], ...(this.before.get(first + i) ?? [])];
      if (seen.size === 1 && allowed.includes(bytes[i * SECTOR])) continue;
      throw new Error(`${kind} read of sector ${first + i}: ${[...seen].join(', ')}; allowed: ${allowed.join(', ')}`);
    }
  }

  /** Lets accesses end while `isNeeded`. */
  private drain(isNeeded: () => boolean): void {
    const { world } = this.machine;
    this.reap();
    while (isNeeded()) {
      expect(world.run({ until: () => [...this.underWay].some(({ thread }) => thread.ended) })).not.toBe('idle');
      this.reap();
    }
  }

  private reap(): void {
    for (const access of [...this.underWay]) {
      if (!access.thread.ended) continue;
      access.thread.observed = true;
      if (access.thread.state === 'failed') throw access.thread.error;
      this.underWay.delete(access);
      if (!access.isWrite) continue;
      for (let sector = access.first; sector < access.end; sector++) {
        const isWritten = [...this.underWay].some(
          (other) => other.isWrite && other.first <= sector && sector < other.end,
        );
        // A read that began meanwhile may still give the old content.
        const isRead = [...this.underWay].some(
          (other) => !other.isWrite && other.first <= sector && sector < other.end,
        );
        if (!isWritten && !isRead) this.before.delete(sector);
      }
    }
    if (this.underWay.size === 0) this.before.clear();
  }

  private fork(): void {
    const { world, mm } = this.machine;
    const child = mm.fork('child');
    if (typeof child === 'number') throw new Error('fork');
    world.settle(child.exit());
  }

  private readAll(kind: Kind): Uint8Array {
    const { world, mm } = this.machine;
    const bytes = new Uint8Array(PAGES * PAGE_SIZE);
    if (kind === 'buffered') world.settle(this.file.read(0, bytes, 0, bytes.length));
    else if (kind === 'mapped') world.settle(mm.read(this.mapping, bytes));
    else {
      expect(world.settle(this.io.read(this.buffers[0], bytes.length, 0))).toBe(bytes.length);
      world.settle(mm.read(this.buffers[0], bytes));
    }
    return bytes;
  }
}

/** Whether the two may not be under way together: one writes, and they are not both direct reads and writes of sectors. */
function conflicts(other: Access, kind: Kind, isWrite: boolean, first: number, end: number): boolean {
  if (!other.isWrite && !isWrite) return false;
  const [a, b] = [Math.floor(first / PER_PAGE), Math.ceil(end / PER_PAGE)];
  const [c, d] = [Math.floor(other.first / PER_PAGE), Math.ceil(other.end / PER_PAGE)];
  if (a >= d || c >= b) return false;
  return !(other.kind === 'direct' && kind === 'direct' && !(other.isWrite && isWrite));
}

function* wait(result: MaySleep) {
  return typeof result === 'number' ? result : yield* result;
}
