/** A disk with a queue of the block layer, whose device treats some of its requests badly. */
import { BioOp, BlkStatus, DispatchQueue, MultiQueueDisk, TimeoutAnswer } from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import type { Memory } from '@pincushion/mm';
import { Context } from '@pincushion/sim';

const IO_NS = 1000;
const TIMEOUT_NS = 50_000;
const SECTOR_BYTES = 512;

/**
 * What the device does with a request. `lost`: it is never completed, and ends with its timeout; `lost, tried again`: the
 * driver sends it again then. `part`: half of it is transferred, and the rest sent again; `part, then error`: the rest fails.
 */
export type Fault = 'none' | 'error' | 'lost' | 'part, then error' | 'part' | 'lost, tried again';

export class FaultyDisk extends MultiQueueDisk {
  /** What becomes of a request, by its number. */
  faultOf: (request: number, bio: Bio) => Fault = () => 'none';
  /** Requests that the driver got. */
  requests = 0;
  readonly queue: DispatchQueue;

  constructor(
    private readonly memory: Memory,
    readonly content: Uint8Array,
  ) {
    const late: Fault[] = [];
    const queue = new DispatchQueue(
      memory.world,
      'queue 0',
      { depth: 32, timeoutNs: TIMEOUT_NS },
      {
        queueRq: (bio, tag) => {
          const fault = this.faultOf(this.requests++, bio);
          late[tag] = fault;
          if (fault.startsWith('lost')) return BlkStatus.ok;
          memory.world.after(IO_NS, Context.hardirq, () => {
            this.end(bio, tag, fault);
            return undefined;
          });
          return BlkStatus.ok;
        },
        timedOut: (_bio, tag) => {
          if (late[tag] === 'lost') queue.complete(tag, BlkStatus.timeout);
          else queue.requeue(tag);
          return TimeoutAnswer.done;
        },
      },
    );
    const limits = { logicalBlockBytes: 512, maxBytes: 64 * 1024, maxPages: 17, volatileCache: true, fua: true };
    super('faulty0', content.length / SECTOR_BYTES, limits, [queue]);
    this.queue = queue;
  }

  private end(bio: Bio, tag: number, fault: Fault): void {
    const part = Math.floor(bio.bytes / 2 / SECTOR_BYTES) * SECTOR_BYTES;
    if (fault === 'error') {
      this.queue.complete(tag, BlkStatus.medium);
    } else if (fault.startsWith('part')) {
      this.move(bio, part);
      this.queue.completePart(tag, part, fault === 'part' ? BlkStatus.ok : BlkStatus.medium);
    } else {
      this.move(bio, bio.bytes);
      this.queue.complete(tag, BlkStatus.ok);
    }
  }

  /** The first `bytes` bytes. */
  private move(bio: Bio, bytes: number): void {
    if (bio.op !== BioOp.read && bio.op !== BioOp.write) return;
    let at = bio.sector * SECTOR_BYTES;
    const end = at + bytes;
    for (let i = 0; i < bio.pageCount && at < end; i++) {
      const { page, offset, length } = bio.bioVec(i);
      const n = Math.min(length, end - at);
      if (bio.op === BioOp.read) this.memory.bytes.write(page, offset, this.content, at, n);
      else this.memory.bytes.read(page, offset, this.content, at, n);
      at += n;
    }
  }
}
