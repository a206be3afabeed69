/** The issuers of a run, what is reported of them, and what was written where. */
import type { Machine } from '@pincushion/machine';
import { ContentModel } from './content-model';
import type { WatchedDisk } from './content-model';
import type { IoProblemFindings } from './io-problems';
import type { IoSource } from './io-source';
import { IoStatistics } from './io-statistics';
import type { IoTarget } from './io-target';
import { Issuer } from './issuer';
import { ReadBackSource } from './read-back-source';

/** How much of the machine's memory buffers may take. */
const BUFFER_SHARE = 4;

/** What is reported under one name: a trace, a fio job, a module. */
export interface RunJob {
  readonly name: string;
  readonly statistics: IoStatistics;
}

export interface ContentOptions {
  /** Whether content is written and checked. */
  readonly verify: boolean;
  /** What sectors hold that the run has not written. */
  readonly unwritten: 'zeros' | 'any' | 'new';
}

export class RunIssuers {
  readonly jobs: RunJob[] = [];
  /** By disk or file. */
  readonly models = new Map<string, ContentModel>();
  readonly readBack = new IoStatistics();
  /** I/Os that the workload will have, as far as known. */
  expected = 0;
  private readonly all: Issuer[] = [];
  private stopped = false;

  constructor(
    private readonly machine: Machine,
    private readonly problems: IoProblemFindings,
    private readonly options: ContentOptions,
  ) {}

  /** I/Os of the workload that have ended. */
  get ended(): number {
    let done = 0;
    for (const job of this.jobs) done += job.statistics.total;
    return done;
  }

  get areIdle(): boolean {
    return this.all.every((issuer) => issuer.outstanding === 0);
  }

  addJob(name: string): RunJob {
    const job = { name, statistics: new IoStatistics() };
    this.jobs.push(job);
    return job;
  }

  /** One more; its `run` is a task. `sharers`: how many there are at a time, who share the memory. */
  add(source: IoSource, io: IoTarget, about: { job: RunJob; name: string; writer: number; sharers: number }): Issuer {
    const { statistics } = about.job;
    const model = this.options.verify ? this.modelOf(io.disk) : null;
    const around = { world: this.machine.world, statistics, model, problems: this.problems };
    const { name, writer } = about;
    const issuer = new Issuer(around, source, io, { name, writer, bufferBytesMax: this.bufferBytes(about.sharers) });
    this.expected += source.expected;
    this.all.push(issuer);
    if (this.stopped) issuer.stop();
    return issuer;
  }

  /** One that reads everything back that was written to a disk or file. */
  addReadBack(model: ContentModel, io: IoTarget): Issuer {
    const around = { world: this.machine.world, statistics: this.readBack, model, problems: this.problems };
    const issuer = new Issuer(around, new ReadBackSource(model, 0), io, {
      name: `read-back ${io.disk.name}`,
      writer: 0,
      bufferBytesMax: this.bufferBytes(1),
    });
    this.all.push(issuer);
    return issuer;
  }

  /** No more I/Os are issued, by these and by those to come. */
  stop(): void {
    this.stopped = true;
    for (const issuer of this.all) issuer.stop();
  }

  /** What is in flight will never end: the findings say so. */
  reportLost(): void {
    for (const issuer of this.all) if (issuer.outstanding > 0) issuer.reportLost();
  }

  private modelOf(disk: WatchedDisk): ContentModel {
    let model = this.models.get(disk.name);
    if (model === undefined) {
      const { unwritten } = this.options;
      model = new ContentModel(this.machine.world, disk, { unwritten, number: this.models.size });
      this.models.set(disk.name, model);
    }
    return model;
  }

  private bufferBytes(sharers: number): number {
    return Math.floor(this.machine.description.memory.ram / BUFFER_SHARE / sharers);
  }
}
