import { EFAULT } from '@pincushion/sim';
import { MADV_HUGEPAGE, PAGE_SIZE, PROT_READ, PTE_ACCESSED, PTE_DIRTY, ZERO_PFN } from '../src/index';
import { MIB, anon, frameAt, plain, setUp, touched } from './machine-memory';

const pattern = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * 31 + 1) & 255);

describe('a process that reads and writes its memory', () => {
  it('finds again what it wrote across page borders', () => {
    const { mm } = setUp();
    const address = anon(mm, 4);
    expect(plain(mm.write(address + 4000, pattern(9000)))).toBe(9000);
    const into = new Uint8Array(9002);
    expect(plain(mm.read(address + 3999, into))).toBe(9002);
    expect(into).toEqual(Uint8Array.of(0, ...pattern(9000), 0));
  });

  it('uses the part of the buffer it is given', () => {
    const { mm } = setUp();
    const address = anon(mm, 1);
    plain(mm.write(address, pattern(100), 10, 5));
    const into = new Uint8Array(8).fill(255);
    expect(plain(mm.read(address + 1, into, 2, 3))).toBe(3);
    expect([...into]).toEqual([255, 255, ...pattern(100).subarray(11, 14), 255, 255, 255]);
  });

  it('gets a short count at the first page it may not touch, an error when that is the first', () => {
    const { mm } = setUp();
    const address = touched(mm, 3);
    plain(mm.munmap(address + 2 * PAGE_SIZE, PAGE_SIZE));
    plain(mm.mprotect(address + PAGE_SIZE, PAGE_SIZE, PROT_READ));
    expect(plain(mm.read(address, new Uint8Array(3 * PAGE_SIZE)))).toBe(2 * PAGE_SIZE);
    expect(plain(mm.write(address, new Uint8Array(3 * PAGE_SIZE)))).toBe(PAGE_SIZE);
    expect(plain(mm.write(address + PAGE_SIZE, new Uint8Array(1)))).toBe(-EFAULT);
  });

  it('leaves marks in the entries as the CPU does: accessed when read, dirty when written', () => {
    const { mm } = setUp();
    const address = anon(mm, 2);
    const bits = (page: number) => {
      const at = address + page * PAGE_SIZE;
      const pte = mm.pageTable.flagsAt(Math.floor(at / (2 * MIB)), (at % (2 * MIB)) / PAGE_SIZE);
      return pte & (PTE_ACCESSED | PTE_DIRTY);
    };
    plain(mm.read(address, new Uint8Array(1)));
    plain(mm.write(address + PAGE_SIZE, new Uint8Array(1)));
    expect([bits(0), bits(1)]).toEqual([PTE_ACCESSED, PTE_ACCESSED | PTE_DIRTY]);
    expect(frameAt(mm, address)).toBe(ZERO_PFN);
  });

  it('sees one memory through a huge mapping', () => {
    const { mm } = setUp();
    const address = anon(mm, 512);
    plain(mm.madvise(address, 2 * MIB, MADV_HUGEPAGE));
    expect(plain(mm.write(address + 2 * MIB - 10_000, pattern(10_000)))).toBe(10_000);
    const into = new Uint8Array(10_000);
    plain(mm.read(address + 2 * MIB - 10_000, into));
    expect(into).toEqual(pattern(10_000));
  });
});
