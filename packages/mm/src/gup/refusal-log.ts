/**
 * The last refusal of a grab and its sentence, and the findings for arguments that no caller may pass.
 *
 * Source followed: `WARN_ON_ONCE` in mm/gup.c `is_valid_gup_args`, `gup_fast_fallback` (6.18).
 */
import { callSite } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { Refusal } from './gup-rules';

export class RefusalLog {
  private last: Refusal | null = null;
  /** Sentences that were reported as findings. */
  private readonly warned = new Set<string>();

  constructor(private readonly world: World) {}

  /** "V-07: the area is not writable". Empty when nothing was refused yet. */
  get sentence(): string {
    return this.last?.sentence ?? '';
  }

  /** Keeps a refusal, and returns its errno. */
  refuse(refusal: Refusal): number {
    this.last = refusal;
    return refusal.errno;
  }

  /** As `refuse` for a mistake of the caller: a finding the first time. */
  warn(refusal: Refusal): number {
    if (!this.warned.has(refusal.sentence)) {
      this.warned.add(refusal.sentence);
      this.world.findings.report({
        code: 'GUP_BAD_FLAGS',
        summary: refusal.sentence,
        sites: [{ what: 'called', site: callSite(), atNs: this.world.now }],
        details: [],
      });
    }
    return this.refuse(refusal);
  }
}
