/**
 * Flushes of a disk with a volatile cache: what a bio with REQ_PREFLUSH or REQ_FUA, and a flush of its own, become.
 *
 * ```
 *                     cache, no FUA           cache and FUA       no cache
 * flush               flush                   flush               nothing
 * PREFLUSH + data     flush, data             flush, data         data
 * FUA + data          data, flush             data with FUA       data
 * both                flush, data, flush      flush, data (FUA)   data
 * ```
 * One flush is under way at a time, and everything that waits for the next shares it: `pending` collects while `running` is
 * out. No flush starts while data of a sequence is being written, since that data will want one, too; but the first in line
 * waits for that at most five seconds.
 * The kernel keeps a flush queue for each hardware queue; here a disk has one.
 * Source: Linux 6.18 block/blk-flush.c (blk_insert_flush, blk_flush_policy, blk_flush_complete_seq, blk_kick_flush,
 * flush_end_io, mq_flush_data_end_io).
 */
import type { World } from '@pincushion/sim';
import { BioOp, REQ_FUA, REQ_PREFLUSH } from './bio';
import type { Bio } from './bio';
import { emptyPart, issued, makePart } from './clone';
import type { Disk } from './disk';
import { childEnded, holdForParts } from './end';
import { issue } from './issue';

/** Steps of a sequence, in this order; `progress` of a bio has those that are left. */
const PREFLUSH = 1;
const DATA = 2;
const POSTFLUSH = 4;
/** FLUSH_PENDING_TIMEOUT. */
const PENDING_NS_MAX = 5_000_000_000;

/** The steps that a bio needs on its disk (blk_flush_policy). A bio with data and no flush needs no sequence. */
function flushPolicy(disk: Disk, bio: Bio): number {
  if (bio.op === BioOp.flush) return PREFLUSH;
  const before = (bio.flags & REQ_PREFLUSH) !== 0 ? PREFLUSH : 0;
  const after = (bio.flags & REQ_FUA) !== 0 && disk.limits.fua !== true ? POSTFLUSH : 0;
  return before | (bio.bytes === 0 ? 0 : DATA) | after;
}

/** Whether a bio goes to the driver as it is, with the flags that it has. */
export function needsNoFlush(disk: Disk, bio: Bio): boolean {
  const steps = flushPolicy(disk, bio);
  return steps === 0 || steps === DATA;
}

export class FlushQueue {
  private pending: Bio[] = [];
  private running: Bio[] = [];
  private pendingSinceNs = 0;
  /** Sequences whose data is with the driver. */
  private writing = 0;
  private readonly flushEndIo: (flush: Bio) => undefined;
  private readonly dataEndIo: (data: Bio) => undefined;

  constructor(
    private readonly world: World,
    private readonly disk: Disk,
  ) {
    this.flushEndIo = (flush) => {
      this.flushEnded(flush);
      return undefined;
    };
    this.dataEndIo = (data) => {
      this.dataEnded(data);
      return undefined;
    };
  }

  /** Begins the sequence of a bio that has been submitted; it ends when the sequence does. Any context. */
  insert(bio: Bio): void {
    bio.progress = flushPolicy(this.disk, bio);
    holdForParts(bio);
    this.step(bio);
    this.kick();
  }

  /** The next step of a sequence, or its end (blk_flush_complete_seq). */
  private step(bio: Bio): void {
    if (bio.status !== 0 || bio.progress === 0) {
      bio.progress = 0;
      childEnded(bio, 0);
    } else if ((bio.progress & PREFLUSH) !== 0 || bio.progress === POSTFLUSH) {
      if (this.pending.length === 0) this.pendingSinceNs = this.world.now;
      this.pending.push(bio);
    } else {
      this.write(bio);
    }
  }

  private write(bio: Bio): void {
    const { disk } = this;
    this.writing++;
    const data = makePart(disk, bio, 0, bio.bytes, this.dataEndIo);
    data.flags &= disk.limits.fua === true ? ~REQ_PREFLUSH : ~(REQ_PREFLUSH | REQ_FUA);
    issue(disk, data, null);
  }

  /** Sends a flush for all that wait, if none is under way (blk_kick_flush). */
  private kick(): void {
    if (this.running.length !== 0 || this.pending.length === 0) return;
    if (this.writing !== 0 && this.world.now < this.pendingSinceNs + PENDING_NS_MAX) return;
    const all = this.pending;
    this.pending = this.running;
    this.running = all;
    const flush = emptyPart(this.disk, all[0]);
    flush.op = BioOp.flush;
    flush.flags = 0;
    flush.endIo = this.flushEndIo;
    issue(this.disk, issued(this.disk, flush), null);
  }

  private flushEnded(flush: Bio): void {
    const { status } = flush;
    const all = this.running;
    this.running = [];
    flush.owner.free(flush);
    for (const bio of all) {
      bio.progress &= (bio.progress & PREFLUSH) !== 0 ? ~PREFLUSH : ~POSTFLUSH;
      if (bio.status === 0) bio.status = status;
      this.step(bio);
    }
    this.kick();
  }

  private dataEnded(data: Bio): void {
    const { parent, status } = data;
    data.parent = null;
    data.owner.free(data);
    this.writing--;
    if (parent !== null) {
      parent.progress &= ~DATA;
      childEnded(parent, status);
      this.step(parent);
    }
    this.kick();
  }
}
