/** Set-up of the tests: a world with one small memory and one process on it. */
import { World } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { MAP_ANONYMOUS, MAP_PRIVATE, Memory, PAGE_SIZE, PROT_READ, PROT_WRITE, assertMemorySane } from '../src/index';
import type { MemoryOptions, Mm } from '../src/index';

export const MIB = 1 << 20;
export const RW = PROT_READ | PROT_WRITE;
export const ANON = MAP_PRIVATE | MAP_ANONYMOUS;

export function setUp(options: Partial<MemoryOptions> = {}) {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 64 * MIB, ledger: 'full', ...options });
  const mm = memory.createMm('prog');
  const owner = memory.ledger.owner('nic0');
  return { world, memory, mm, owner, gup: memory.gup, frames: memory.frames, vmstat: memory.vmstat };
}

/** The result of a call that must not have slept. */
export function plain(result: MaySleep): number {
  if (typeof result !== 'number') throw new Error('the call slept');
  return result;
}

/** Anonymous memory of `pages` pages, untouched. */
export function anon(mm: Mm, pages: number, prot = RW): number {
  const address = plain(mm.mmap(pages * PAGE_SIZE, prot, ANON));
  expect(address).toBeGreaterThan(0);
  return address;
}

/** The same, each page written once with its index + 1. */
export function touched(mm: Mm, pages: number): number {
  const address = anon(mm, pages);
  for (let i = 0; i < pages; i++) plain(mm.write(address + i * PAGE_SIZE, Uint8Array.of(i + 1)));
  return address;
}

/** The frame behind an address, 0 for none. */
export function frameAt(mm: Mm, address: number): number {
  const region = Math.floor(address / (2 * MIB));
  return mm.pageTable.frameAt(region, Math.floor((address % (2 * MIB)) / PAGE_SIZE));
}

export function codes(world: World): string[] {
  return world.findings.all.map((finding) => finding.code);
}

export { assertMemorySane };
