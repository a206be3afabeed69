/** Set-up of the tests: a machine with one file system, one process, and files whose page k is full of k + 1. */
import { World } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { MAP_SHARED, Memory, PAGE_SIZE, PROT_READ, PROT_WRITE, indexOf, regionOf } from '@pincushion/mm';
import type { MappableFile, MemoryOptions, Mm } from '@pincushion/mm';
import { MemoryBlockStore, makeFileSystem, mountFileSystem } from '../src/index';
import type { BlockStore, FileSystem, FileSystemOptions, Opened } from '../src/index';

const MIB = 1 << 20;
const RW = PROT_READ | PROT_WRITE;

export interface MountOptions extends FileSystemOptions {
  blocks?: number;
  blockBytes?: number;
  /** A file that nobody opens takes all but this many blocks. */
  blocksFree?: number;
  makeStore?: (memory: Memory, plain: MemoryBlockStore) => BlockStore;
  memory?: Partial<MemoryOptions>;
}

export function mount(options: MountOptions = {}) {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 64 * MIB, ledger: 'full', ...options.memory });
  const disk = new MemoryBlockStore(memory, options.blocks ?? 4096, options.blockBytes);
  const store: BlockStore = options.makeStore?.(memory, disk) ?? disk;
  // Not through a store that takes its time.
  expect(plain(makeFileSystem(memory, store.disk === undefined ? disk : store))).toBe(0);
  const { fs } = world.complete(mountFileSystem(memory, store, options));
  if (options.blocksFree !== undefined) fillUp(fs, options.blocksFree);
  const mm = memory.createMm('prog');
  const owner = memory.ledger.owner('nic0');
  return { world, memory, frames: memory.frames, gup: memory.gup, fs, disk, mm, owner };
}

/** The result of a call that must not have slept. */
export function plain(result: MaySleep): number {
  if (typeof result !== 'number') throw new Error('the call slept');
  return result;
}

/** The file that was opened, at once. */
export function opened(result: Opened): MappableFile {
  if (typeof result === 'number') throw new Error(`open failed with ${result}`);
  if (!('mapping' in result)) throw new Error('the call slept');
  return result;
}

/** Leaves so many blocks free. */
function fillUp(fs: FileSystem, blocksFree: number): void {
  const ballast = opened(fs.create('ballast'));
  const bytes = (fs.allocator.blocksFree - blocksFree) * fs.store.blockBytes;
  expect(plain(ballast.fallocate?.(0, 0, bytes) ?? -1)).toBe(0);
  expect(plain(ballast.fsync())).toBe(0);
  expect(fs.allocator.blocksFree).toBe(blocksFree);
  ballast.close();
}

/** The block on disk that has the beginning of a page of a file; 0 for none. */
export function blockOf(fs: FileSystem, name: string, page: number): number {
  const inode = fs.table.files().find((file) => file.name === name);
  if (inode === undefined) throw new Error(`there is no ${name}`);
  inode.extents.seek(page * inode.blocksPerPage);
  return inode.extents.foundStart;
}

export function filled(pages: number, options: MountOptions = {}) {
  const machine = mount(options);
  const file = opened(machine.fs.create('data'));
  for (let k = 0; k < pages; k++) writePage(file, k, k + 1);
  expect(plain(file.fsync())).toBe(0);
  /** The first byte of a page as it is on disk. */
  const onDisk = (page: number): number => machine.disk.peek(blockOf(machine.fs, 'data', page))[0];
  return { ...machine, file, onDisk };
}

export function writePage(file: MappableFile, page: number, byte: number): void {
  expect(plain(file.write(page * PAGE_SIZE, new Uint8Array(PAGE_SIZE).fill(byte), 0, PAGE_SIZE))).toBe(PAGE_SIZE);
}

export function byteOf(file: MappableFile, position: number): number {
  const byte = new Uint8Array(1);
  expect(plain(file.read(position, byte, 0, 1))).toBe(1);
  return byte[0];
}

/** Maps all of a file, shared and writable unless said otherwise. */
export function map(mm: Mm, file: MappableFile, pages: number, prot = RW, flags = MAP_SHARED): number {
  const address = plain(mm.mmap(pages * PAGE_SIZE, prot, flags, 0x10000000000, file.backing));
  expect(address).toBeGreaterThan(0);
  return address;
}

export function load(mm: Mm, address: number): number {
  const byte = new Uint8Array(1);
  expect(plain(mm.read(address, byte))).toBe(1);
  return byte[0];
}

export function store(mm: Mm, address: number, byte: number): void {
  expect(plain(mm.write(address, Uint8Array.of(byte)))).toBe(1);
}

/** The frame behind an address, 0 for none, and the bits of its entry. */
export function frameAt(mm: Mm, address: number): number {
  return mm.pageTable.frameAt(regionOf(address), indexOf(address));
}

export function bitsAt(mm: Mm, address: number): number {
  return mm.pageTable.flagsAt(regionOf(address), indexOf(address));
}
