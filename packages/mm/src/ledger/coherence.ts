/**
 * The coherence assertion: the moment from which a process and its device no longer see the same page.
 *
 * A page that was pinned at address A of a process stays the device's page, while the process may get another one at A:
 * by munmap, MADV_DONTNEED, mremap, truncate, copy on write after fork. That is legal, and none of it waits for pins
 * (section 14), so it is written down and is a finding only when asked for. Needs the full ledger.
 * Left out: the end of the process; huge pages of hugetlbfs.
 */
import type { FindingSite, World } from '@pincushion/sim';
import { CallTrace } from '@pincushion/sim';
import { pagesText, siteOf, takenSite } from './ledger-findings';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import type { ReferenceBatch, ReferenceTable } from './reference-table';

/** `record`: `Ledger.partings` tells; `report`: each is a finding, too. */
export type CoherenceMode = 'record' | 'report';

/** Pages of one pin that the process lost by one step. */
export interface Parting {
  readonly process: string;
  /** The first address whose page is another, and its frame: the one the device has. */
  readonly address: number;
  readonly frame: number;
  readonly pages: number;
  /** What parted them: `MADV_DONTNEED`, `munmap`, `copy on write`. */
  readonly step: string;
  readonly atNs: number;
  readonly site: string;
  /** Who pinned. */
  readonly owner: string;
  readonly pinned: FindingSite;
}

interface Entry {
  readonly batch: ReferenceBatch;
  readonly address: number;
  readonly frame: number;
  pages: number;
  readonly step: string;
  /** The number of the step: pages that go in one call are one entry. */
  readonly call: number;
  readonly atNs: number;
  readonly trace: CallTrace;
}

/** Frames from where an entry is cleared to who called: the walk through areas and tables is deep. */
const STEP_FRAMES = 24;
/** Later partings are not kept. */
const KEPT = 4096;
/** The step that is no parting: there is no process left to see anything. */
const EXIT = 'exit';
const ADVICE: Readonly<Record<number, string>> = {
  4: 'MADV_DONTNEED',
  8: 'MADV_FREE',
  9: 'MADV_REMOVE',
  21: 'MADV_PAGEOUT',
  24: 'MADV_DONTNEED_LOCKED',
  25: 'MADV_COLLAPSE',
  102: 'MADV_GUARD_INSTALL',
};

export class Coherence {
  mode: CoherenceMode = 'record';
  private step = 'unmapping';
  private call = 0;
  private readonly entries: Entry[] = [];

  constructor(
    private readonly world: World,
    private readonly references: ReferenceTable,
    private readonly ownerName: (id: number) => string,
  ) {}

  /** A call begins that may take pages away from processes. Any context. */
  begin(step: string, advice = -1): void {
    this.step = ADVICE[advice] ?? step;
    this.call++;
  }

  /** The entry of `mm` at `address` no longer maps `frame`; `step` when no call was announced by `begin`. Any context. */
  parted(mm: Mm, address: number, frame: number, step: string | null = null): void {
    if (!this.references.isHeld(frame) || (step === null && this.step === EXIT)) return;
    if (step !== null) this.call++;
    for (const batch of this.references.holdersOf(frame)) {
      if (batch.kind === 'pin' && batch.mm === mm && batch.addressOf(frame) === address) {
        this.note(batch, address, frame, step ?? this.step);
      }
    }
  }

  /** The same for `pages` pages in a row, in addresses and in frames. Any context. */
  partedRow(mm: Mm, address: number, frame: number, pages: number): void {
    for (let i = 0; i < pages; i++) this.parted(mm, address + i * PAGE_SIZE, frame + i);
  }

  /** What was noted so far, oldest first. */
  get partings(): readonly Parting[] {
    return this.entries.map(({ batch, address, frame, pages, step, atNs, trace }) => ({
      process: batch.mm?.name ?? '',
      address,
      frame,
      pages,
      step,
      atNs,
      site: trace.site(),
      owner: this.ownerName(batch.owner),
      pinned: takenSite(batch),
    }));
  }

  /** The partings as lines of text. */
  text(): string {
    return this.partings
      .map(
        ({ process, address, frame, pages, step, site, owner, pinned }) =>
          `${step} at ${site} parted ${process} from ${owner}: ${pagesText(pages)} from 0x${address.toString(16)} on ` +
          `(frame ${frame}), pinned at ${pinned.site}`,
      )
      .join('\n');
  }

  private note(batch: ReferenceBatch, address: number, frame: number, step: string): void {
    const last = this.entries.at(-1);
    if (last !== undefined && last.batch === batch && last.call === this.call) {
      last.pages++;
      return;
    }
    const trace = new CallTrace(STEP_FRAMES);
    const atNs = this.world.now;
    if (this.entries.length < KEPT) {
      this.entries.push({ batch, address, frame, pages: 1, step, call: this.call, atNs, trace });
    }
    if (this.mode !== 'report') return;
    this.world.findings.report({
      code: 'PIN_PARTED',
      summary: `${batch.mm?.name ?? 'a process'} at 0x${address.toString(16)} and ${this.ownerName(batch.owner)} no longer see the same page (frame ${frame}): ${step}`,
      device: this.ownerName(batch.owner),
      sites: [takenSite(batch), siteOf(step, trace, atNs)],
      details: [],
    });
  }
}
