/** One page of a program, as the ledger knows it: for tests that ask who pins what. */
import type { Memory, Mm } from '@pincushion/mm';
import { PAGE_SIZE } from '@pincushion/mm';

const PAGES_PER_REGION = 512;

export class PageUnderTest {
  constructor(
    private readonly memory: Memory,
    private readonly mm: Mm,
    /** Any address in the page. */
    readonly address: number,
  ) {}

  /** The frame that the page table names; -1 when there is no entry, or none that is a page. */
  get frame(): number {
    const page = Math.floor(this.address / PAGE_SIZE);
    const region = Math.floor(page / PAGES_PER_REGION);
    const present = (this.mm.pageTable.flagsAt(region, page % PAGES_PER_REGION) & 1) !== 0;
    return present ? this.mm.pageTable.frameAt(region, page % PAGES_PER_REGION) : -1;
  }

  /** How often the page is pinned by what was recorded. Needs the ledger's mode `full`. */
  get pins(): number {
    return this.frame < 0 ? 0 : this.memory.ledger.referencesOf(this.frame).pins;
  }

  /** Who holds the page, since when and from where. */
  holders(): string {
    return this.frame < 0
      ? `nothing is mapped at 0x${this.address.toString(16)}`
      : this.memory.ledger.holdersText(this.frame);
  }
}
