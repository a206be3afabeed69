/** Failed and lost I/Os as findings: the first twenty one by one, the rest as a count. */
import type { Problem } from '@pincushion/fs';
import type { PincushionError, World } from '@pincushion/sim';
import { errnoName } from '@pincushion/sim';
import { IO_KIND_NAMES } from './io-kind';
import type { IoKind } from './io-kind';
import type { IoProblems } from './issuer';

const LISTED_MAX = 20;
/** Problems of a file system that are listed. */
const PROBLEMS_MAX = 8;

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

  /** A file could not be opened, so that nothing was done with it. `who` wanted it. */
  notOpened(diskName: string, who: string, errno: number): void {
    this.world.findings.report({
      code: 'IO_FAILED',
      device: diskName,
      summary: `the file of ${who} on ${diskName} could not be opened: ${errnoName(errno)}`,
      sites: [],
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

  /** What fsck has found after the run, if anything. */
  inconsistent(diskName: string, problems: readonly Problem[]): void {
    if (problems.length === 0) return;
    const more = problems.length - PROBLEMS_MAX;
    this.world.findings.report({
      code: 'FS_INCONSISTENT',
      device: diskName,
      summary: `the file system on ${diskName} contradicts itself after the run, in ${problems.length} ways`,
      sites: [],
      details: [
        ...problems.slice(0, PROBLEMS_MAX).map(({ code, subject, detail }) => `${code}: ${subject}, ${detail}`),
        ...(more > 0 ? [`${more} more`] : []),
      ],
    });
  }

  /** It could not even be mounted: because of what is on the disk, or because the disk does not answer. */
  notChecked(diskName: string, error: PincushionError): void {
    const isUnreadable = error.errnoName === 'EIO' || error.errnoName === 'ENODEV';
    this.world.findings.report({
      code: isUnreadable ? 'IO_FAILED' : 'FS_INCONSISTENT',
      device: diskName,
      summary: `the file system on ${diskName} cannot be mounted after the run: ${error.message}`,
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
