/** Failed and lost I/Os as findings: the first twenty one by one, the rest as a count. */
import type { World } from '@pincushion/sim';
import { errnoName } from '@pincushion/sim';
import { IO_KIND_NAMES } from './io-kind';
import type { IoKind } from './io-kind';
import type { IoProblems } from './issuer';

const LISTED_MAX = 20;

export class IoProblemFindings implements IoProblems {
  private failures = 0;
  private losses = 0;

  constructor(private readonly world: World) {}

  failed(diskName: string, kind: IoKind, sector: number, sectors: number, result: number): void {
    if (++this.failures > LISTED_MAX) return;
    const outcome = result < 0 ? errnoName(result) : `${result} of ${sectors * 512} bytes`;
    this.world.findings.report({
      code: 'IO_FAILED',
      device: diskName,
      summary: `${named(kind, sector, sectors)} on ${diskName} ended with ${outcome}`,
      sites: [],
      details: [],
    });
  }

  lost(diskName: string, kind: IoKind, sector: number, sectors: number, issuedNs: number): void {
    if (++this.losses > LISTED_MAX) return;
    this.world.findings.report({
      code: 'IO_LOST',
      device: diskName,
      summary: `${named(kind, sector, sectors)} on ${diskName} was never completed`,
      sites: [{ what: 'issued', site: diskName, atNs: issuedNs }],
      details: [],
    });
  }

  /** The file system that a run went through could not be brought to its end. */
  notUnmounted(diskName: string, errno: number): void {
    this.world.findings.report({
      code: 'IO_FAILED',
      device: diskName,
      summary: `the file system on ${diskName} could not be unmounted: ${errnoName(errno)}`,
      sites: [],
      details: [],
    });
  }

  /** Reports how many were only counted; once, at the end. */
  reportSuppressed(): void {
    this.suppressed('IO_FAILED', this.failures, 'failed');
    this.suppressed('IO_LOST', this.losses, 'were never completed');
    this.failures = 0;
    this.losses = 0;
  }

  private suppressed(code: 'IO_FAILED' | 'IO_LOST', count: number, what: string): void {
    if (count <= LISTED_MAX) return;
    this.world.findings.report({ code, summary: `${count - LISTED_MAX} more I/Os ${what}`, sites: [], details: [] });
  }
}

function named(kind: IoKind, sector: number, sectors: number): string {
  const name = IO_KIND_NAMES[kind];
  return sectors === 0 ? name : `${name} of ${sectors} sectors at sector ${sector}`;
}
