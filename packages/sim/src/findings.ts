/**
 * What went wrong in the emulated world: leaks, lost data, DMA faults, dropped tasks.
 *
 * A finding is no exception: the world goes on, as a real machine would, and the report at the end lists them all.
 * Reported from any context; error paths only, so objects are fine.
 */
import type { ErrorCode } from './error-codes';

/** One place in the code that belongs to a finding. */
export interface FindingSite {
  /** What happened there, for example `pinned`. */
  what: string;
  /** Where, for example `nic.ts:31:20 (EchoNic.register)`. */
  site: string;
  /** Virtual time in nanoseconds. */
  atNs: number;
}

export interface Finding {
  code: ErrorCode;
  summary: string;
  /** Virtual time of the report in nanoseconds. */
  atNs: number;
  device?: string;
  sites: readonly FindingSite[];
  /** Further lines for a reader: neighbouring mappings, bytes side by side. */
  details: readonly string[];
}

/** The findings of one world, in the order in which they were reported. */
export class Findings {
  private readonly found: Finding[] = [];
  private readonly listeners: ((finding: Finding) => undefined)[] = [];

  constructor(private readonly clock: { readonly now: number }) {}

  /** Adds a finding; `atNs` is the present virtual time unless given. Any context. */
  report(finding: Omit<Finding, 'atNs'> & { atNs?: number }): void {
    const complete: Finding = { ...finding, atNs: finding.atNs ?? this.clock.now };
    this.found.push(complete);
    for (const listener of [...this.listeners]) listener(complete);
  }

  get all(): readonly Finding[] {
    return this.found;
  }

  get count(): number {
    return this.found.length;
  }

  /** Calls `listener` for each later finding; the result ends that. */
  subscribe(listener: (finding: Finding) => undefined): () => undefined {
    this.listeners.push(listener);
    return () => {
      const at = this.listeners.indexOf(listener);
      if (at >= 0) this.listeners.splice(at, 1);
      return undefined;
    };
  }

  /** Forgets what was found so far; listeners stay. */
  clear(): void {
    this.found.length = 0;
  }
}
