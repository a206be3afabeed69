/**
 * Seams for faults: a call site asks whether this time it has to fail.
 *
 *     if (faults.armed) { const errno = faults.hit('pin'); if (errno !== 0) return errno; }
 *
 * After the kernel's fault injection (lib/fault-inject.c) with `times = 1`, but by count and not by probability, so that
 * a run can be repeated with the fault at each call in turn. Costs one field test when off.
 */
import { PincushionError } from './errors';

const SITES = ['alloc', 'pin', 'map', 'dma', 'interrupt'] as const;
export type FaultSite = (typeof SITES)[number];

export interface FaultRule {
  /** Which call from now on fails, counted from 1; 0 fails none and only counts. */
  nth: number;
  /** What it fails with: a negative errno. */
  errno: number;
}

interface ArmedRule {
  site: number;
  left: number;
  errno: number;
}

export class FaultSites {
  /** Whether anything was armed since the last `disarm`; test this before `hit`. */
  armed = false;
  private rules: ArmedRule[] = [];
  private readonly counts = new Float64Array(SITES.length);

  /** Counts a call; 0, or the errno that it has to fail with. Any context. */
  hit(site: FaultSite): number {
    const index = SITES.indexOf(site);
    this.counts[index]++;
    let errno = 0;
    for (const rule of this.rules) {
      if (rule.site === index && rule.left > 0 && --rule.left === 0 && errno === 0) errno = rule.errno;
    }
    return errno;
  }

  /** Lets one later call at the site fail. Several rules may be armed; each fires once. */
  arm(site: FaultSite, rule: FaultRule): void {
    const index = SITES.indexOf(site);
    if (index < 0 || !Number.isSafeInteger(rule.nth) || rule.nth < 0 || !(rule.errno < 0)) {
      throw new PincushionError('FAULT_SITE_INVALID', `no fault can be armed at site '${site}'`, {
        expected: `a site of ${SITES.join(', ')}, nth >= 0, errno < 0`,
        actual: `nth ${rule.nth}, errno ${rule.errno}`,
      });
    }
    this.rules.push({ site: index, left: rule.nth, errno: rule.errno });
    this.armed = true;
  }

  /** Forgets all rules and counts. */
  disarm(): void {
    this.armed = false;
    this.rules = [];
    this.counts.fill(0);
  }

  /** Calls at the site since the first `arm`. */
  count(site: FaultSite): number {
    return this.counts[SITES.indexOf(site)];
  }
}
