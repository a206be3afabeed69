/**
 * Mappings and accesses of devices in the full ledger, against the pins they should be made through.
 *
 * User memory is mapped through a pin, one with FOLL_WRITE where the device writes, and used while that pin and the mapping
 * last. A mapping for both directions alone is no mistake of a pin for reading, since drivers for RDMA map so
 * (`ib_umem_get`); a write through it is. Each finding is made once per mapping.
 */
import type { ErrorCode } from '@pincushion/sim';
import { ORPHANED, UNPINNED } from './device-mappings';
import type { DeviceMappings, MapBatch } from './device-mappings';
import { FOLL_WRITE } from '../gup/gup-flags';
import type { LedgerFacts } from './ledger-facts';
import type { LedgerFindings } from './ledger-findings';
import type { Gone, ReferenceBatch, ReferenceTable } from './reference-table';

/** The kernel's DMA_FROM_DEVICE. */
const FROM_DEVICE = 2;

export class AccessCheck {
  /** @param facts about frames; without it user memory cannot be told from other memory */
  constructor(
    private readonly references: ReferenceTable,
    private readonly maps: DeviceMappings,
    private readonly facts: LedgerFacts | null,
    private readonly findings: LedgerFindings,
  ) {}

  /** What is wrong with a mapping as soon as it is made; one finding of each kind. */
  mapped(run: MapBatch): void {
    for (const frame of run.frames) {
      const found = this.maps.find(frame, run.domain);
      if (found === null) continue;
      if (found.link > 0) {
        const pin = this.references.batchWith(found.link);
        if (
          run.direction === FROM_DEVICE &&
          (pin.flags & FOLL_WRITE) === 0 &&
          firstTime(run, 'PIN_READ_ONLY_WRITTEN')
        ) {
          this.findings.readOnlyWritten(frame, pin, run, null);
        }
        continue;
      }
      const [holder = null] = this.references.holdersOf(frame) as (ReferenceBatch | undefined)[];
      if (holder === null && this.facts?.isUserMemory(frame) !== true) continue;
      // Where direct I/O takes plain references, a mapping through one is no mistake.
      if (holder !== null && this.facts?.mapsGotten === true) continue;
      if (firstTime(run, 'MAPPED_UNPINNED')) {
        this.findings.mappedUnpinned(frame, this.facts?.whose(frame) ?? 'a process', holder, run);
      }
    }
  }

  accessed(domain: number, frame: number, write: boolean, iova: number): void {
    const found = this.maps.find(frame, domain);
    if (found === null) {
      const gone = this.references.goneAt(frame);
      if (gone === null || gone.domain !== domain) return;
      if (!this.isForeign(frame, gone.tick) && this.references.isHeld(frame)) return;
      gone.domain = -1;
      this.lateAccess(frame, gone, null, write, iova);
      return;
    }
    const { run, link } = found;
    if (link > 0) {
      if (write) this.noteWrite(frame, this.references.batchWith(link), run, iova);
    } else if (link === ORPHANED && run.orphaned !== null) this.lateAccess(frame, run.orphaned, run, write, iova);
    else if (write && link === UNPINNED && this.isForeign(frame, run.tick) && firstTime(run, 'DMA_INTO_FOREIGN_PAGE')) {
      this.findings.foreignWrite(frame, this.facts?.whose(frame) ?? 'somebody else', null, run, iova);
    }
  }

  /** A device wrote through a pin. */
  private noteWrite(frame: number, pin: ReferenceBatch, run: MapBatch, iova: number): void {
    pin.isWritten = true;
    this.references.noteWritten(frame);
    if ((pin.flags & FOLL_WRITE) === 0 && firstTime(run, 'PIN_READ_ONLY_WRITTEN')) {
      this.findings.readOnlyWritten(frame, pin, run, iova);
    }
  }

  /** A device used a page whose pin is gone; `run`: the mapping, if it is still there. */
  private lateAccess(frame: number, gone: Gone, run: MapBatch | null, write: boolean, iova: number): void {
    if (write && this.isForeign(frame, gone.tick)) {
      if (run === null || firstTime(run, 'DMA_INTO_FOREIGN_PAGE')) {
        this.findings.foreignWrite(frame, this.facts?.whose(frame) ?? 'somebody else', gone, run, iova);
      }
      return;
    }
    if (run === null || firstTime(run, 'DMA_AFTER_UNPIN')) {
      this.findings.lateAccess(frame, gone, write, iova, run === null ? [] : [run]);
    }
  }

  /** Whether a frame was freed since the step `tick` and is in use again. */
  private isForeign(frame: number, tick: number): boolean {
    return this.references.wasFreedAfter(frame, tick) && this.facts?.isFree(frame) === false;
  }
}

/** Whether there was no such finding about the mapping before; from now on there was. */
function firstTime(run: MapBatch, code: ErrorCode): boolean {
  if (run.reported.has(code)) return false;
  run.reported.add(code);
  return true;
}
