import { ENOMEM, World } from '@pincushion/sim';
import { Buddy, FrameTable, MAX_PAGE_ORDER, Memory, assertMemorySane } from '../src/index';
import { MIB, setUp, touched } from './machine-memory';

function zone(blocks: number) {
  const owner = { folioFreed: () => undefined, badRelease: () => undefined };
  const frames = new FrameTable((blocks + 1) << MAX_PAGE_ORDER, owner);
  return { frames, buddy: new Buddy(frames, 1 << MAX_PAGE_ORDER, (blocks + 1) << MAX_PAGE_ORDER) };
}

describe('the page allocator', () => {
  it('gives consecutive frames to consecutive order-0 allocations', () => {
    const { buddy } = zone(2);
    const first = buddy.take(0);
    for (let i = 1; i < 2048; i++) expect(buddy.take(0)).toBe(first + i);
    expect(buddy.take(0)).toBe(-ENOMEM);
  });

  it('aligns every block to its size', () => {
    const { buddy } = zone(4);
    for (const order of [0, 3, 9, 1, 10, 5, 2]) expect(buddy.take(order) % (1 << order)).toBe(0);
  });

  it('merges freed buddies back into the block they came from', () => {
    const { buddy } = zone(1);
    const taken = [];
    for (let i = 0; i < 1024; i++) taken.push(buddy.take(0));
    expect(buddy.framesFree).toBe(0);
    for (let i = 0; i < 1024; i++) buddy.give(taken[(i * 421) % 1024], 0);
    expect(buddy.framesFree).toBe(1024);
    expect(buddy.take(MAX_PAGE_ORDER)).toBe(1024);
  });

  it('does not merge a block with a free buddy of smaller order', () => {
    const { buddy } = zone(1);
    const big = buddy.take(1);
    const small = buddy.take(0);
    const other = buddy.take(0);
    expect([small, other]).toEqual([big + 2, big + 3]);
    buddy.give(small, 0);
    buddy.give(big, 1);
    expect(buddy.take(1)).toBe(big);
  });

  it('refuses to take a free block back a second time, also when it was merged into another', () => {
    const { buddy } = zone(1);
    const [a, b] = [buddy.take(0), buddy.take(0)];
    buddy.give(a, 0);
    expect(() => {
      buddy.give(a, 0);
    }).toThrow('FRAME_DOUBLE_FREE');
    buddy.give(b, 0);
    expect(() => {
      buddy.give(b, 0);
    }).toThrow('FRAME_DOUBLE_FREE');
  });
});

describe('memory', () => {
  it('prefers ZONE_MOVABLE for user pages and never uses it for the kernel', () => {
    const { memory } = setUp({ movableBytes: 16 * MIB });
    expect(memory.zoneOf(memory.allocFolio(0, 1))?.name).toBe('Movable');
    expect(memory.zoneOf(memory.allocFolio(0, 0))?.name).toBe('DMA32');
  });

  it('falls back to the other zones, and then has none left', () => {
    const { memory } = setUp({ ramBytes: 16 * MIB, movableBytes: 4 * MIB, minFreeBytes: 0 });
    const free = memory.framesFree;
    for (let i = 0; i < free; i++) expect(memory.allocFolio(0, 1)).toBeGreaterThan(0);
    expect(memory.allocFolio(0, 1)).toBe(-ENOMEM);
    assertMemorySane(memory);
  });

  it('fails the chosen allocation when that fault is armed', () => {
    const { memory, world } = setUp();
    world.faults.arm('alloc', { nth: 2, errno: -ENOMEM });
    expect(memory.allocFolio(0)).toBeGreaterThan(0);
    expect(memory.allocFolio(0)).toBe(-ENOMEM);
    expect(memory.allocFolio(0)).toBeGreaterThan(0);
  });

  it('finds the head of each page of a folio by arithmetic', () => {
    const { memory, frames } = setUp();
    memory.allocFolio(0);
    const head = memory.allocFolio(3);
    for (let i = 0; i < 8; i++) expect(frames.headOf(head + i)).toBe(head);
    memory.putFolio(head + 5);
    expect(frames.headOf(head + 5)).toBe(head + 5);
    assertMemorySane(memory);
  });

  it('boots 1 TiB of RAM and 1 TiB of persistent memory without touching it', () => {
    const before = process.memoryUsage().rss;
    const memory = new Memory(new World(), { ramBytes: 2 ** 40, pmemBytes: 2 ** 40 });
    expect(memory.frames.count).toBe(2 ** 29);
    expect(memory.zones.map((zone) => zone.name)).toEqual(['DMA32', 'Normal', 'Device']);
    expect(memory.allocFolio(0)).toBeGreaterThan(2 ** 20 - 1);
    expect(process.memoryUsage().rss - before).toBeLessThan(48 * MIB);
  });

  it('of two machines in one world share nothing', () => {
    const { world, memory, mm } = setUp();
    const other = new Memory(world, { ramBytes: 64 * MIB });
    touched(mm, 5);
    expect(other.framesFree).toBe(memory.framesFree + 5);
    expect(other.mms.size).toBe(0);
    expect(other.vmstat.pgfault).toBe(0);
  });

  it('refuses sizes that frame numbers cannot express', () => {
    expect(() => new Memory(new World(), { ramBytes: 2 ** 42 })).toThrow('MEMORY_INVALID');
    expect(() => new Memory(new World(), { ramBytes: MIB })).toThrow('MEMORY_INVALID');
  });
});
