/** Reads everything that the run has written or discarded, in the order of the disk, so that it is checked once more. */
import type { ContentModel } from './content-model';
import { IoKind } from './io-kind';
import { AFTER_COMPLETION, IoSource, NO_MORE } from './io-source';

/** 1 MiB a read: large enough to be quick, small enough for any device's memory. */
const SECTORS_PER_READ = 2048;
const DEPTH = 8;

export class ReadBackSource extends IoSource {
  readonly expected = 0;
  private readonly runs: Iterator<{ sector: number; sectors: number }, undefined, undefined>;
  private following: IteratorResult<{ sector: number; sectors: number }, undefined>;

  constructor(model: ContentModel, cpu: number) {
    super();
    this.cpu = cpu;
    this.runs = model.writtenRuns(SECTORS_PER_READ);
    this.following = this.runs.next();
  }

  override start(): void {
    this.kind = IoKind.read;
  }

  override dueNs(nowNs: number, inFlight: number): number {
    if (this.following.done === true) return NO_MORE;
    return inFlight < DEPTH ? nowNs : AFTER_COMPLETION;
  }

  override take(): void {
    if (this.following.done === true) return;
    this.sector = this.following.value.sector;
    this.sectors = this.following.value.sectors;
    this.following = this.runs.next();
  }

  override completed(): void {
    // Reading back needs no pace.
  }
}
