/**
 * Where the data of an I/O command lies: PRPs or a scatter gather list, in host memory or in the controller's own.
 *
 *   PSDT 0 -> PrpWalk        1, 2 -> SglWalk (no metadata, so both mean the same)        3 -> invalid field
 */
import { DW0_PSDT } from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import type { BusMaster, Segments } from './bus-master';
import type { ControllerMemory } from '../controller-memory';
import type { PrpWalk } from './prp';
import { SglWalk } from './sgl';

export class DataPointer {
  /** Page size of the host (CC.MPS), set at enable. */
  pageBytes = 4096;
  /** What the last `find` has found. */
  segments: Segments;
  private readonly sgl = new SglWalk();

  constructor(
    /** DMA, or the controller's own memory where it is open. */
    public bus: BusMaster,
    readonly prp: PrpWalk,
    private readonly memory: ControllerMemory,
  ) {
    this.segments = prp;
  }

  /** Finds the segments of `bytes` bytes; dword 0 of the command stands at `words[at]`. Returns a status. */
  find(words: Int32Array, at: number, bytes: number): number {
    const kind = words[at] & DW0_PSDT;
    if (kind === DW0_PSDT) return NvmeStatus.invalidPointerKind;
    let status: number;
    if (kind === 0) {
      this.segments = this.prp;
      status = this.prp.walk(this.bus, words, at + 6, bytes, this.pageBytes);
    } else {
      this.segments = this.sgl;
      status = this.sgl.walk(this.bus, words, at + 6, bytes);
    }
    const isMixed = status === NvmeStatus.success && this.memory.enabled && this.memory.mixes(this.segments);
    return isMixed ? NvmeStatus.invalidCmbUse : status;
  }

  /** Finds the segments and reads all of their data. Returns a status. */
  read(words: Int32Array, at: number, into: Uint8Array, bytes: number): number {
    const status = this.find(words, at, bytes);
    if (status !== NvmeStatus.success) return status;
    const { count, address, length } = this.segments;
    let done = 0;
    for (let i = 0; i < count; i++) {
      if (this.bus.dmaRead(address[i], into, done, length[i]) !== 0) return NvmeStatus.dataTransferError;
      done += length[i];
    }
    return NvmeStatus.success;
  }
}
