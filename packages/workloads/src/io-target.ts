/** Where an issuer's I/Os go: straight to a disk (`DirectIo`), or to a file on it (`FileIo`). */
import type { Mm } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import type { WatchedDisk } from './content-model';

export interface IoTarget {
  /** Whose memory the buffers lie in. */
  readonly mm: Mm;
  /** What the sectors are counted on. */
  readonly disk: WatchedDisk;
  /** Called once for each I/O that was taken, with its token and the bytes, 0, or -errno; in any context, must not sleep. */
  onDone: (token: number, result: number) => undefined;
  /** Reads or writes (`op`: BioOp.read, BioOp.write). 0 when taken, else -errno; here and below. Task context. */
  submit(op: number, address: number, bytes: number, sector: number, cpu: number, token: number): MaySleep;
  /** What was written before becomes durable. */
  flush(cpu: number, token: number): number;
  /** The sectors read as zeros from then on. */
  discard(sector: number, sectors: number, cpu: number, token: number): number;
}
