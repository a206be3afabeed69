/**
 * Releases in the full ledger: which reference a call ends, and what is wrong with it.
 *
 * A release names pages and a handle, what the pins were got in. It ends the references of that handle, else of the
 * releasing owner where he is known, else the newest. One that nobody can owe ends nothing: the books go on saying who
 * should hold the page, as the kernel's counts no longer do. Unpinning under a mapping, and giving back as clean what a
 * device wrote, are wrong, too, but do end the pin.
 */
import { CallTrace } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { DeviceMappings } from './device-mappings';
import type { LedgerFacts } from './ledger-facts';
import type { LedgerFindings } from './ledger-findings';
import type { Gone, ReferenceBatch, ReferenceKind, ReferenceTable } from './reference-table';
import { FRAME_MASK } from '../gup/user-page';

const MASK = FRAME_MASK;
/** The releaser, when he is not known. */
export const NOBODY = -1;

export class ReleaseCheck {
  /** Arrays that many holders use one after the other; they are no handles. */
  private readonly shared = new Set<object>();
  /** Frames whose counts are wrong, because of a release that was reported. */
  private readonly misused = new Set<number>();

  constructor(
    private readonly world: World,
    private readonly references: ReferenceTable,
    private readonly maps: DeviceMappings,
    private readonly facts: LedgerFacts | null,
    private readonly findings: LedgerFindings,
  ) {}

  /** See `Ledger.notAHandle`. */
  notAHandle(array: object): void {
    this.shared.add(array);
  }

  /** See `Ledger.hasReported`. */
  hasReported(frame: number, n: number): boolean {
    for (const misused of this.misused) if (misused >= frame && misused < frame + n) return true;
    return false;
  }

  /** Ends one reference per entry; misuse becomes one finding per kind and call. Returns how many were held. */
  giveBack(kind: ReferenceKind, pages: Int32Array, from: number, n: number, handle: object, releaser: number): number {
    const { references } = this;
    const release = new Release(kind, handle, releaser, new CallTrace());
    const end = from + n;
    let dropped = 0;
    for (let i = from; i < end;) {
      const frame = pages[i] & MASK;
      if (frame === 0) {
        i++;
        continue;
      }
      const sole = references.soleHolder(frame);
      if (sole !== null && sole.linked === 0 && !sole.isWritten && this.isPlain(sole, release)) {
        const gone = references.newGone(sole, this.world.now, release.trace);
        const next = references.dropRow(sole, pages, i, end, gone.id);
        this.takeOff(sole, next - i);
        dropped += next - i;
        i = next;
      } else {
        if (this.giveBackOne(frame, release)) dropped++;
        i++;
      }
    }
    if (release.isWrong) this.reportRelease(release);
    return dropped;
  }

  /** Whether a release by this call surely ends a reference of the batch. */
  private isPlain(batch: ReferenceBatch, { kind, handle, releaser }: Release): boolean {
    return batch.kind === kind && batch.handle === handle && (releaser === NOBODY || batch.owner === releaser);
  }

  /** Ends one reference of a frame, or notes what is wrong with that. */
  private giveBackOne(frame: number, release: Release): boolean {
    const { references } = this;
    const { kind, handle, releaser } = release;
    const batch = this.heldBy(frame, release);
    if (batch === null) {
      this.noteMisuse(frame, release);
      return false;
    }
    const before = references.goneAt(frame);
    if (before?.batch.handle === handle && before.batch.kind === kind && batch.handle !== handle) {
      if (!this.shared.has(handle)) {
        // The handle has given this page back already; what is held now is held by somebody else.
        release.twice = frame;
        this.misused.add(frame);
        return false;
      }
    }
    if (releaser !== NOBODY && batch.owner !== releaser) {
      release.foreign = frame;
      this.misused.add(frame);
      return false;
    }
    const gone = release.goneOf(batch) ?? references.newGone(batch, this.world.now, release.trace);
    release.remember(gone);
    if (batch.isWritten && references.clearWritten(frame) && this.facts?.isDirty(frame) === false) {
      if (release.clean++ === 0) release.cleanAt = gone;
      release.cleanFrame ||= frame;
    }
    if (this.maps.orphan(frame, gone)) release.mapped = frame;
    references.drop(batch, frame, gone.id);
    this.takeOff(batch, 1);
    return true;
  }

  /** The reference that a release ends: of its handle, else of its owner, else the newest of the kind. */
  private heldBy(frame: number, { kind, handle, releaser }: Release): ReferenceBatch | null {
    const found = this.references.find(frame, kind, handle);
    if (found === null || found.handle === handle || releaser === NOBODY || found.owner === releaser) return found;
    const own = this.references.holdersOf(frame).find((batch) => batch.kind === kind && batch.owner === releaser);
    return own ?? found;
  }

  private noteMisuse(frame: number, release: Release): void {
    if (this.references.isHeld(frame)) release.wrongKind = frame;
    else if (this.references.wasHeld(frame)) release.twice = frame;
    else release.never = frame;
    this.misused.add(frame);
  }

  private takeOff(batch: ReferenceBatch, pages: number): void {
    batch.left -= pages;
    if (batch.left === 0) this.references.end(batch);
  }

  private reportRelease(release: Release): void {
    const { references, findings } = this;
    const { kind, trace, releaser, twice, never, foreign, wrongKind, mapped, cleanAt } = release;
    if (twice !== 0) findings.doubleRelease(twice, references.goneAt(twice), references.holdersOf(twice), trace);
    if (never !== 0) findings.wrongPage(never, NOBODY, [], trace);
    if (foreign !== 0) findings.wrongPage(foreign, releaser, references.holdersOf(foreign), trace);
    if (wrongKind !== 0) findings.wrongRelease(wrongKind, kind, references.holdersOf(wrongKind)[0], trace);
    const gone = mapped === 0 ? null : references.goneAt(mapped);
    if (gone !== null) findings.mappedStill(mapped, gone, this.maps.mappingsOf(mapped, true));
    if (cleanAt !== null) findings.releasedClean(release.cleanFrame, release.clean, cleanAt);
  }
}

/** What one releasing call finds wrong, for one finding of each kind. Frames are the last of their kind, 0 for none. */
class Release {
  /** Given back though nobody holds it, or not this handle any more. */
  twice = 0;
  /** Never taken. */
  never = 0;
  /** Held by other owners only. */
  foreign = 0;
  wrongKind = 0;
  /** Unpinned under a mapping. */
  mapped = 0;
  /** Pages that a device wrote and that are clean; the first of them. */
  clean = 0;
  cleanFrame = 0;
  cleanAt: Gone | null = null;
  private last: Gone | null = null;

  constructor(
    readonly kind: ReferenceKind,
    readonly handle: object,
    readonly releaser: number,
    readonly trace: CallTrace,
  ) {}

  get isWrong(): boolean {
    return (this.twice | this.never | this.foreign | this.wrongKind | this.mapped | this.clean) !== 0;
  }

  /** What this call has noted about the end of that batch's references last. */
  goneOf(batch: ReferenceBatch): Gone | null {
    return this.last?.batch === batch ? this.last : null;
  }

  remember(gone: Gone): void {
    this.last = gone;
  }
}
