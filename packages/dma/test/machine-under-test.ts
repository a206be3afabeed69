/** Set-up of the DMA tests: a small machine, a process with a buffer, a device behind the IOMMU. */
import { Iommu } from '@pincushion/dma';
import type { DmaDomain, IommuOptions } from '@pincushion/dma';
import {
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Memory,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  newPinnedPages,
} from '@pincushion/mm';
import type { LedgerMode, Mm, PinnedPages } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import type { Finding, MaySleep } from '@pincushion/sim';

export interface Bench {
  world: World;
  memory: Memory;
  mm: Mm;
  iommu: Iommu;
  nic: DmaDomain;
  /** Runs what may sleep to its end. */
  run: (result: MaySleep) => number;
  /** Makes a buffer of `n` pages and pins it for writing. */
  pin: (n: number) => { address: number; pages: PinnedPages };
  /** Gives pins back, of pages that the device may have written. */
  unpin: (pages: PinnedPages) => void;
  /** Codes of the findings so far. */
  codes: () => string[];
  finding: (code: string) => Finding;
}

export function bench(options: IommuOptions = {}, ledger: LedgerMode = 'full'): Bench {
  const world = new World({ seed: 1 });
  const memory = new Memory(world, { ramBytes: 128 * 1024 * 1024, ledger });
  const mm = memory.createMm('program');
  const iommu = new Iommu(memory, options);
  const run = (result: MaySleep): number => (typeof result === 'number' ? result : world.complete(result));
  return {
    world,
    memory,
    mm,
    iommu,
    nic: iommu.attach('nic0'),
    run,
    pin(n) {
      const address = run(mm.mmap(n * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
      const pages = newPinnedPages(n);
      const pinned = run(memory.gup.pinUserPages(mm, address, n, FOLL_WRITE, pages, 0, memory.ledger.owner('nic0')));
      expect(pinned).toBe(n);
      return { address, pages };
    },
    unpin(pages) {
      run(memory.gup.unpinUserPagesDirtyLock(pages, 0, pages.length, true));
    },
    codes: () => world.findings.all.map((finding) => finding.code),
    finding(code) {
      const found = world.findings.all.filter((finding) => finding.code === code);
      expect(found).toHaveLength(1);
      return found[0];
    },
  };
}

/** `n` bytes that differ from each other and from those of another `seed`. */
export function pattern(n: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(n);
  for (let i = 0; i < n; i++) bytes[i] = (i * 7 + seed * 31 + (i >> 8)) & 0xff;
  return bytes;
}
