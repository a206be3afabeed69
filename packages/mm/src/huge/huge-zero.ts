/**
 * The huge zero folio: 2 MiB of zeros that every reader of an untouched huge region is shown.
 *
 * Made when the first process needs it. Each process that ever mapped it counts as one user until it exits
 * (`MMF_HUGE_ZERO_FOLIO`), however often it maps it; mappings count neither references nor map counts, so entries have
 * `PTE_SPECIAL`. Unlike the small zero page it is an ordinary folio for pins, which count and outlive the shrinker.
 * Left out: the option to allocate it at boot for ever (CONFIG_PERSISTENT_HUGE_ZERO_FOLIO).
 * Source followed: mm/huge_memory.c `mm_get_huge_zero_folio`, `shrink_huge_zero_folio_scan` (6.18).
 */
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { PMD_ORDER } from '../frames/page-size';
import { Gfp } from '../frames/zone';

export class HugeZeroFolio {
  /** First frame; 0 while there is none. */
  head = 0;
  private readonly users = new Set<Mm>();

  constructor(private readonly memory: Memory) {}

  /** The folio for `mm`, which is a user from now on; 0 when there is no memory for it. */
  get(mm: Mm): number {
    if (this.head === 0) {
      const head = this.memory.allocFolio(PMD_ORDER, Gfp.kernel);
      if (head < 0) return 0;
      this.head = head;
    }
    this.users.add(mm);
    return this.head;
  }

  /** The process has exited. `mm_put_huge_zero_folio`. */
  put(mm: Mm): void {
    this.users.delete(mm);
  }

  /** Memory is short: gives the folio up when no process uses it. The pages given up; who pins them keeps them. */
  shrink(): number {
    if (this.head === 0 || this.users.size > 0) return 0;
    this.memory.putFolio(this.head);
    this.head = 0;
    return 1 << PMD_ORDER;
  }
}
