/**
 * The I/O of one process on one file of a file system, sectors counted from the file's beginning.
 *
 *     direct     reads and writes are submitted as io_submit(2) does, past the page cache
 *     buffered   pread(2), pwrite(2), each in a thread of a pool, as many as are in flight
 *     both       a flush is fsync(2), a discard punches a hole; in a thread of the pool, too
 *
 * Source followed: fs/aio.c `aio_read`, `aio_write`; fio's engines libaio and posixaio, for what they ask of a kernel.
 */
import { BioOp } from '@pincushion/block';
import type { FileDirectIo } from '@pincushion/fs';
import type { Process } from '@pincushion/machine';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '@pincushion/mm';
import type { Mm } from '@pincushion/mm';
import type { MaySleep, Task, Thread } from '@pincushion/sim';
import { WaitQueue } from '@pincushion/sim';
import type { WatchedDisk } from './content-model';
import type { IoTarget } from './io-target';

const SECTOR = 512;
/** Threads of the pool; what is more waits for one. */
const THREADS_MAX = 256;

/** A system call that a thread of the pool shall make, for an I/O with this token. */
interface Call {
  readonly token: number;
  readonly make: () => Task<number>;
}

export class FileIo implements IoTarget {
  onDone: (token: number, result: number) => undefined = () => undefined;
  private readonly calls: Call[] = [];
  private readonly threads: Thread<void>[] = [];
  private readonly idle: WaitQueue;
  private isClosing = false;

  /** @param fd the file, open; `close` closes it @param direct null: through the page cache */
  constructor(
    private readonly process: Process,
    readonly disk: WatchedDisk,
    private readonly fd: number,
    private readonly direct: FileDirectIo | null,
  ) {
    this.idle = new WaitQueue(process.machine.world, `calls on ${disk.name}`);
    if (direct === null) return;
    direct.onDone = (token, result) => {
      this.onDone(token, result);
    };
  }

  get mm(): Mm {
    return this.process.mm;
  }

  submit(op: number, address: number, bytes: number, sector: number, cpu: number, token: number): MaySleep {
    const position = sector * SECTOR;
    if (this.direct !== null) {
      return this.direct.submit(op === BioOp.write, address, bytes, position, cpu, token);
    }
    const { process, fd } = this;
    return this.later(token, () =>
      op === BioOp.write ? process.pwrite(fd, address, bytes, position) : process.pread(fd, address, bytes, position),
    );
  }

  flush(_cpu: number, token: number): number {
    return this.later(token, () => this.process.fsync(this.fd));
  }

  discard(sector: number, sectors: number, _cpu: number, token: number): number {
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return this.later(token, () => this.process.fallocate(this.fd, mode, sector * SECTOR, sectors * SECTOR));
  }

  /** Lets the threads end and closes the file, when all that was taken is done. */
  *close(): Task {
    if (this.isClosing) return;
    this.isClosing = true;
    this.idle.wakeAll();
    for (const thread of this.threads) yield* thread.join();
    yield* this.process.close(this.fd);
  }

  /** For a thread of the pool; a new one where none is idle. 0. */
  private later(token: number, make: () => Task<number>): number {
    this.calls.push({ token, make });
    if (this.idle.waiting > 0 || this.threads.length === THREADS_MAX) {
      this.idle.wakeOne();
      return 0;
    }
    const { cpu, name, machine } = this.process;
    this.threads.push(machine.world.spawn(this.work(), { name: `${name} thread ${this.threads.length}`, cpu }));
    return 0;
  }

  private *work(): Task {
    for (;;) {
      const call = this.calls.shift();
      if (call !== undefined) this.onDone(call.token, yield* call.make());
      else if (this.isClosing) return;
      else yield* this.idle.waitUntil(() => this.calls.length > 0 || this.isClosing);
    }
  }
}
