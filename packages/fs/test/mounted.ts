/** Set-up of the tests: a machine with one file system, one process, and files whose page k is full of k + 1. */
import { World } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { MAP_SHARED, Memory, PAGE_SIZE, PROT_READ, PROT_WRITE, indexOf, regionOf } from '@pincushion/mm';
import type { MappableFile, Mm } from '@pincushion/mm';
import { FileSystem, MemoryBlockStore } from '../src/index';
import type { BlockStore, FileSystemOptions } from '../src/index';

const MIB = 1 << 20;
const RW = PROT_READ | PROT_WRITE;

export interface MountOptions extends FileSystemOptions {
  blocks?: number;
  blockBytes?: number;
  makeStore?: (memory: Memory, plain: MemoryBlockStore) => BlockStore;
}

export function mount(options: MountOptions = {}) {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 64 * MIB, ledger: 'full' });
  const disk = new MemoryBlockStore(memory, options.blocks ?? 4096, options.blockBytes);
  const store = options.makeStore?.(memory, disk) ?? disk;
  const fs = new FileSystem(memory, { ...options, store });
  const mm = memory.createMm('prog');
  const owner = memory.ledger.owner('nic0');
  return { world, memory, frames: memory.frames, gup: memory.gup, fs, disk, mm, owner };
}

/** The result of a call that must not have slept. */
export function plain(result: MaySleep): number {
  if (typeof result !== 'number') throw new Error('the call slept');
  return result;
}

export function filled(pages: number, options: MountOptions = {}) {
  const machine = mount(options);
  const file = machine.fs.create('data');
  for (let k = 0; k < pages; k++) writePage(file, k, k + 1);
  expect(plain(file.fsync())).toBe(0);
  return { ...machine, file };
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
