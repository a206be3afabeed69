/**
 * Data of admin commands: always by PRPs, at most some KiB, between host memory and a structure of the controller.
 */
import { NvmeStatus } from '../../spec/status';
import type { BusMaster } from '../data/bus-master';
import type { ControllerMemory } from '../controller-memory';
import type { PrpWalk } from '../data/prp';

export class AdminTransfer {
  /** Page size of the host (CC.MPS), set at enable. */
  pageBytes = 4096;

  constructor(
    /** DMA, or the controller's own memory where it is open. */
    public bus: BusMaster,
    private readonly prp: PrpWalk,
    private readonly memory: ControllerMemory,
  ) {}

  /** The PRPs stand at `words[at + 6 …]`. Returns a status. */
  toHost(words: Int32Array, at: number, from: Uint8Array, bytes: number): number {
    const { prp } = this;
    const status = this.walk(words, at, bytes);
    if (status !== NvmeStatus.success) return status;
    let done = 0;
    for (let i = 0; i < prp.count; i++) {
      if (this.bus.dmaWrite(prp.address[i], from, done, prp.length[i]) !== 0) return NvmeStatus.dataTransferError;
      done += prp.length[i];
    }
    return NvmeStatus.success;
  }

  fromHost(words: Int32Array, at: number, into: Uint8Array, bytes: number): number {
    const { prp } = this;
    const status = this.walk(words, at, bytes);
    if (status !== NvmeStatus.success) return status;
    let done = 0;
    for (let i = 0; i < prp.count; i++) {
      if (this.bus.dmaRead(prp.address[i], into, done, prp.length[i]) !== 0) return NvmeStatus.dataTransferError;
      done += prp.length[i];
    }
    return NvmeStatus.success;
  }

  private walk(words: Int32Array, at: number, bytes: number): number {
    const status = this.prp.walk(this.bus, words, at + 6, bytes, this.pageBytes);
    const isMixed = status === NvmeStatus.success && this.memory.enabled && this.memory.mixes(this.prp);
    return isMixed ? NvmeStatus.invalidCmbUse : status;
  }
}
