/**
 * The accounting audit: what processes and users are charged for pinned memory, against what is really pinned for long.
 *
 * Charging is the driver's business (accounting.ts), and it forgets. A charge that is larger than what is pinned is a leak
 * of the limit: nobody will ever give it back. A smaller one is legal during a run, since there are drivers that charge
 * nothing, and pins of `memfdPinFolios` are nobody's memory; only a charge below zero is wrong at any time.
 * Pages that several pins hold count once for each, as the kernel charges them. Needs the full ledger; io_uring's charge of
 * a whole huge page for a part of it shows as a difference while the ring lives.
 */
import type { World } from '@pincushion/sim';
import type { User } from '../process/accounting';
import type { Mm } from '../process/mm';
import type { ReferenceTable } from './reference-table';
import { FOLL_LONGTERM } from '../gup/gup-flags';

/** One counter beside the truth, in pages. */
export interface AuditedCharge {
  /** `pinned_vm of prog`, `locked_vm of user root`. */
  readonly counter: string;
  readonly charged: number;
  /** Pages that are pinned with FOLL_LONGTERM, of the process or of all processes of the user. */
  readonly pinned: number;
}

export class AccountingAudit {
  /** Processes whose memory was ever pinned for long: a charge can outlive its process. */
  private readonly mms = new Set<Mm>();

  constructor(
    private readonly world: World,
    private readonly references: ReferenceTable,
  ) {}

  /** A long-term pin of a process's memory. */
  saw(mm: Mm): void {
    this.mms.add(mm);
  }

  /** Every counter that is not 0, or should not be. */
  charges(): AuditedCharge[] {
    const pinned = new Map<Mm, number>();
    const ofUsers = new Map<User, number>();
    for (const mm of this.mms) {
      pinned.set(mm, 0);
      ofUsers.set(mm.user.user, 0);
    }
    for (const { mm, kind, flags, left } of this.references.batches()) {
      if (mm === null || kind !== 'pin' || (flags & FOLL_LONGTERM) === 0) continue;
      pinned.set(mm, (pinned.get(mm) ?? 0) + left);
      ofUsers.set(mm.user.user, (ofUsers.get(mm.user.user) ?? 0) + left);
    }
    const rows: AuditedCharge[] = [];
    for (const [mm, pages] of pinned) {
      rows.push({ counter: `pinned_vm of ${mm.name}`, charged: mm.pinnedVm, pinned: pages });
    }
    for (const [user, pages] of ofUsers) {
      rows.push({ counter: `locked_vm of user ${user.name}`, charged: user.lockedVm, pinned: pages });
    }
    return rows.filter(({ charged, pinned }) => charged !== 0 || pinned !== 0);
  }

  /** Reports charges for what is not pinned, at the end of a run. */
  report(): void {
    for (const { counter, charged, pinned } of this.charges()) {
      if (charged >= 0 && charged <= pinned) continue;
      this.world.findings.report({
        code: 'ACCOUNTING_DRIFT',
        summary: `${counter} is ${charged} pages, and ${pinned} are pinned for long`,
        sites: [],
        details: [],
      });
    }
  }
}
