/** Random mappings, unmappings and accesses against a model that is a Map of pages; fixed seeds. */
import { DmaDirection } from '@pincushion/dma';
import { FRAME_MASK, PAGE_SIZE } from '@pincushion/mm';
import { bench } from './machine-under-test';

interface Mapped {
  iova: number;
  bytes: number;
  direction: number;
  firstPage: number;
  pages: number;
}

describe.each(['strict', 'lazy'] as const)('a domain in %s mode', (mode) => {
  it.each([1, 2, 3])('lets through exactly what is mapped, to exactly that frame (seed %d)', (seed) => {
    const { world, memory, nic, pin, unpin } = bench({ mode, flushNs: 50 }, 'counts');
    const { pages } = pin(64);
    const choices = world.choices.stream('test:steps', seed);
    const live: Mapped[] = [];
    /** IOVA page -> frame, with what the device may do there. */
    const model = new Map<number, { frame: number; read: boolean; write: boolean }>();
    const stale = new Map<number, { frame: number; read: boolean; write: boolean }>();

    const map = (): void => {
      const from = choices.below(60);
      const n = 1 + choices.below(4);
      const offset = choices.below(PAGE_SIZE);
      const bytes = 1 + choices.below(n * PAGE_SIZE - offset);
      const direction = choices.below(3);
      const iova = nic.mapPages(pages, from, n, offset, bytes, direction);
      expect(iova).toBeGreaterThan(0);
      const firstPage = Math.floor(iova / PAGE_SIZE);
      const touched = Math.ceil((offset + bytes) / PAGE_SIZE);
      for (let i = 0; i < touched; i++) {
        if (model.has(firstPage + i) || stale.has(firstPage + i)) throw new Error('an address was given twice');
        model.set(firstPage + i, {
          frame: pages[from + i] & FRAME_MASK,
          read: direction !== DmaDirection.fromDevice,
          write: direction !== DmaDirection.toDevice,
        });
      }
      live.push({ iova, bytes, direction, firstPage, pages: touched });
    };

    const unmap = (): void => {
      const [gone] = live.splice(choices.below(live.length), 1);
      nic.unmapPages(gone.iova, gone.bytes, gone.direction);
      for (let page = gone.firstPage; page < gone.firstPage + gone.pages; page++) {
        const entry = model.get(page);
        model.delete(page);
        if (mode === 'lazy' && entry !== undefined) stale.set(page, entry);
      }
    };

    const access = (): void => {
      const page = 16 + choices.below(300);
      const write = choices.below(2) === 1;
      const at = page * PAGE_SIZE + 4 * choices.below(1024);
      const entry = model.get(page) ?? stale.get(page);
      const allowed = entry !== undefined && (write ? entry.write : entry.read);
      const word = new Int32Array([choices.uint32() | 0]);
      const seen = new Int32Array(1);
      const result = write ? nic.writeWords(at, word, 0, 1) : nic.readWords(at, seen, 0, 1);
      expect(result === 0).toBe(allowed);
      if (!allowed) return;
      const bytes = new Uint8Array(4);
      memory.bytes.read(entry.frame, at % PAGE_SIZE, bytes, 0, 4);
      expect(new DataView(bytes.buffer).getInt32(0, true)).toBe(write ? word[0] : seen[0]);
    };

    for (let step = 0; step < 4_000; step++) {
      const what = choices.below(10);
      if (what < 3 && live.length < 40) map();
      else if (what < 5 && live.length > 0) unmap();
      else if (what === 5) {
        world.run();
        stale.clear();
      } else access();
      expect(nic.liveMappings).toBe(live.length);
    }
    while (live.length > 0) unmap();
    expect(nic.mappings()).toEqual([]);
    unpin(pages);
    nic.detach();
    expect(world.findings.all.filter(({ code }) => code !== 'DMA_FAULT' && code !== 'DMA_STALE_ACCESS')).toEqual([]);
  });
});
