/**
 * Device mappings of the full ledger: which call mapped which frame for which device, and through which pin.
 *
 * Each frame has a chain of mapping records; the word of a record is its link: the id of the pin's batch, 0 for memory that
 * nobody had pinned, or `ORPHANED` when the pin was given back under the mapping.
 */
import type { CallTrace, ErrorCode } from '@pincushion/sim';
import { RecordChains } from './record-chains';
import type { Gone, ReferenceTable } from './reference-table';
import { FRAME_MASK } from '../gup/user-page';

const MASK = FRAME_MASK;
export const UNPINNED = 0;
export const ORPHANED = -1;

/** One call that mapped pages for a device. */
export interface MapBatch {
  readonly domain: number;
  readonly iova: number;
  readonly frames: Int32Array;
  readonly direction: number;
  readonly sinceNs: number;
  readonly trace: CallTrace;
  /** When, in steps of the table of references. */
  readonly tick: number;
  /** The pin under one of its pages went away: what happened then. */
  orphaned: Gone | null;
  /** Which findings there have been about this mapping: each is reported once. */
  readonly reported: Set<ErrorCode>;
}

export class DeviceMappings {
  private readonly records: RecordChains<MapBatch>;
  private readonly byAddress = new Map<number, Map<number, MapBatch>>();

  constructor(
    frameCount: number,
    private readonly references: ReferenceTable,
  ) {
    this.records = new RecordChains(frameCount);
  }

  /** Enters a mapping of `n` pages `frames[from…]`; `handle` says through which of several pins. */
  add(
    domain: number,
    iova: number,
    frames: Int32Array,
    from: number,
    n: number,
    direction: number,
    sinceNs: number,
    trace: CallTrace,
  ): MapBatch {
    const run: MapBatch = {
      domain,
      iova,
      frames: frames.slice(from, from + n).map((entry) => entry & MASK),
      direction,
      sinceNs,
      trace,
      tick: this.references.tick(),
      orphaned: null,
      reported: new Set(),
    };
    const id = this.records.addBatch(run);
    for (const frame of run.frames) {
      const pin = this.references.find(frame, 'pin', frames);
      if (pin !== null) pin.linked++;
      this.records.add(frame, id, pin === null ? UNPINNED : pin.id);
    }
    let runs = this.byAddress.get(domain);
    if (runs === undefined) this.byAddress.set(domain, (runs = new Map<number, MapBatch>()));
    runs.set(iova, run);
    return run;
  }

  /** The mapping that starts at `iova` is gone. */
  drop(domain: number, iova: number): void {
    const { records, references } = this;
    const runs = this.byAddress.get(domain);
    const run = runs?.get(iova);
    if (runs === undefined || run === undefined) return;
    runs.delete(iova);
    let last = 0;
    for (const frame of run.frames) {
      const record = this.recordOf(frame, run);
      if (record === 0) continue;
      const pin = records.link(record);
      if (pin > 0) {
        const batch = references.batchWith(pin);
        batch.mappedBy = domain;
        batch.linked--;
      }
      records.remove(frame, record);
      last = record;
    }
    if (last !== 0) records.removeBatch(last);
  }

  /** Marks the mappings of `frame` that were made through the pin that ends as `gone`. Whether there are any. */
  orphan(frame: number, gone: Gone): boolean {
    const { records } = this;
    let found = false;
    for (let r = records.first(frame); r !== 0; r = records.next(r)) {
      if (records.link(r) !== gone.batch.id) continue;
      records.setLink(r, ORPHANED);
      gone.batch.linked--;
      const run = records.batch(r);
      run.orphaned ??= gone;
      gone.domain = run.domain;
      found = true;
    }
    return found;
  }

  /** The newest mapping of a frame for a device, and its link; null for none. */
  find(frame: number, domain: number): { readonly run: MapBatch; readonly link: number } | null {
    const { records } = this;
    for (let r = records.first(frame); r !== 0; r = records.next(r)) {
      if (records.batch(r).domain === domain) return { run: records.batch(r), link: records.link(r) };
    }
    return null;
  }

  /** The mappings of a frame, newest first; only those whose pin is gone when `orphaned`. */
  mappingsOf(frame: number, orphaned = false): MapBatch[] {
    const { records } = this;
    const found: MapBatch[] = [];
    for (let r = records.first(frame); r !== 0; r = records.next(r)) {
      if (!orphaned || records.link(r) === ORPHANED) found.push(records.batch(r));
    }
    return found;
  }

  /** All mappings that are not undone. */
  *all(): Generator<MapBatch> {
    for (const runs of this.byAddress.values()) yield* runs.values();
  }

  private recordOf(frame: number, run: MapBatch): number {
    const { records } = this;
    let r = records.first(frame);
    while (r !== 0 && records.batch(r) !== run) r = records.next(r);
    return r;
  }
}
