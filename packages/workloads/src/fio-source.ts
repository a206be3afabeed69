/**
 * The I/Os of one fio job, chosen one by one while it runs.
 *
 * Follows fio 3's documented behaviour: sequential modes keep a position for each direction and start again at the end of
 * the region; random modes visit each block once before any comes twice (unless `norandommap` or zipf); a flush follows
 * every `fsync` writes; `rate_iops` spaces the starts of each direction evenly; `thinktime` pauses after every
 * `thinktime_blocks` I/Os have completed.
 */
import type { FioJob } from './fio-job';
import { IoKind } from './io-kind';
import { AFTER_COMPLETION, IoSource, NO_MORE } from './io-source';
import type { JobRandom, OffsetChoice } from './offset-choice';
import { EachOnce, Independent, Zipf } from './offset-choice';

const SECTOR = 512;
const SECOND_NS = 1_000_000_000;

export class FioSource extends IoSource {
  readonly expected: number;
  private startNs = 0;
  private bytesIssued = 0;
  private iosIssued = 0;
  private readsIssued = 0;
  private writesIssued = 0;
  private writesSinceFlush = 0;
  private readAt = 0;
  private writeAt = 0;
  private issuedSinceThink = 0;
  private thinkUntilNs = 0;
  /** Direction of the next I/O; drawn once, because its rate decides when it is due. */
  private nextIsRead: boolean;
  private readonly readBlocks: OffsetChoice | null;
  private readonly writeBlocks: OffsetChoice | null;

  constructor(
    readonly job: FioJob,
    private readonly random: JobRandom,
    cpu: number,
  ) {
    super();
    this.cpu = cpu;
    this.expected = expectedIos(job);
    this.readBlocks = job.sequential ? null : chooser(job, job.readBytes, random);
    // With one block size both directions share one map, so that a mixed job too visits each block once.
    this.writeBlocks =
      job.sequential || job.writeBytes === job.readBytes ? this.readBlocks : chooser(job, job.writeBytes, random);
    this.nextIsRead = this.drawDirection();
  }

  override start(nowNs: number): void {
    this.startNs = nowNs;
  }

  override dueNs(nowNs: number, inFlight: number): number {
    const job = this.job;
    if (this.flushIsNext()) return inFlight < job.ioDepth ? nowNs : AFTER_COMPLETION;
    if (this.bytesIssued >= job.totalBytes || this.iosIssued >= job.totalIos) return NO_MORE;
    if (nowNs - this.startNs >= job.runtimeNs) return NO_MORE;
    if (job.thinkNs > 0 && this.issuedSinceThink >= job.thinkBlocks) return AFTER_COMPLETION;
    if (inFlight >= job.ioDepth) return AFTER_COMPLETION;
    const due = Math.max(this.rateDueNs(), this.thinkUntilNs);
    return due - this.startNs >= job.runtimeNs ? NO_MORE : due;
  }

  override take(): void {
    const job = this.job;
    if (this.flushIsNext()) {
      this.kind = IoKind.flush;
      this.sector = 0;
      this.sectors = 0;
      this.writesSinceFlush = 0;
      return;
    }
    const read = this.nextIsRead;
    const bytes = read ? job.readBytes : job.writeBytes;
    const blocks = read ? this.readBlocks : this.writeBlocks;
    const position = blocks === null ? this.nextPosition(read, bytes) : blocks.next() * bytes;
    this.kind = read ? IoKind.read : job.trim ? IoKind.discard : IoKind.write;
    this.sector = (job.offset + position) / SECTOR;
    this.sectors = bytes / SECTOR;
    this.bytesIssued += bytes;
    this.iosIssued++;
    this.issuedSinceThink++;
    if (read) {
      this.readsIssued++;
    } else {
      this.writesIssued++;
      this.writesSinceFlush++;
    }
    this.nextIsRead = this.drawDirection();
  }

  override completed(nowNs: number, inFlight: number): void {
    if (this.job.thinkNs === 0 || inFlight > 0 || this.issuedSinceThink < this.job.thinkBlocks) return;
    this.issuedSinceThink = 0;
    this.thinkUntilNs = nowNs + this.job.thinkNs;
  }

  private flushIsNext(): boolean {
    return this.job.fsync > 0 && this.writesSinceFlush >= this.job.fsync;
  }

  private nextPosition(read: boolean, bytes: number): number {
    let position = read ? this.readAt : this.writeAt;
    if (position + bytes > this.job.size) position = 0;
    if (read) this.readAt = position + bytes;
    else this.writeAt = position + bytes;
    return position;
  }

  private rateDueNs(): number {
    const rate = this.nextIsRead ? this.job.rateIopsRead : this.job.rateIopsWrite;
    if (rate === 0) return this.startNs;
    const issued = this.nextIsRead ? this.readsIssued : this.writesIssued;
    return this.startNs + Math.floor((issued * SECOND_NS) / rate);
  }

  private drawDirection(): boolean {
    if (this.job.readPercent === 100) return true;
    if (this.job.readPercent === 0) return false;
    return this.random.below(100) < this.job.readPercent;
  }
}

function chooser(job: FioJob, bytes: number, random: JobRandom): OffsetChoice {
  const blocks = Math.floor(job.size / bytes);
  if (job.distribution.kind === 'zipf') return new Zipf(blocks, job.distribution.theta, random);
  return job.randomMap ? new EachOnce(blocks, random) : new Independent(blocks, random);
}

function expectedIos(job: FioJob): number {
  const mean = (job.readBytes * job.readPercent + job.writeBytes * (100 - job.readPercent)) / 100;
  const ios = Math.min(job.totalIos, Math.ceil(job.totalBytes / mean));
  if (!Number.isFinite(ios)) return 0;
  const writes = (ios * (100 - job.readPercent)) / 100;
  return ios + (job.fsync > 0 ? Math.floor(writes / job.fsync) : 0);
}
