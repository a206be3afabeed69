/**
 * I/O commands while a fault plan is armed: each is counted at its sites when it is carried out, and what the plan wants
 * happens in place of its work. The vocabulary is the simulator's (`io`, `io.read`, …); here is what it means to NVMe.
 *
 *     an error        the command fails, with Do Not Retry: a media error where data is read or written
 *     partial, torn   a write of which only the first sectors reach the media; it fails, or says that it is done
 *     misdirected     the blocks of another place; those beyond the end go nowhere
 *     lost            done, without having done anything
 *     stall           stays inside until it is aborted or the controller is reset
 *     reset           the controller reports a fatal status and forgets all commands
 *     powercut        the same, and what was only in the volatile cache is lost
 */
import type { FaultEffect, IoSite } from '@pincushion/driver';
import { EILSEQ, ENOSPC } from '@pincushion/driver';
import { DSM_DEALLOCATE, DW12_FUA, DW12_NLB_MASK, NvmOpcode } from '../../spec/opcodes';
import { DNR, NvmeStatus } from '../../spec/status';
import type { CommandSlots } from '../queues/command-slots';
import type { IoCommands } from '../commands/io-commands';
import type { Namespace } from '../media/namespace';
import { VolatileCache, contentOf, putContent } from '../media/volatile-cache';

/** In place of a status: nothing completes; the controller has failed. */
const STALLED = -1;
export const FAILED = -2;

const SECTOR_BYTES = 512;
const HIGH_WORD = 0x1_0000_0000;
const CAPACITY_EXCEEDED = 0x081 | DNR;
const GUARD_CHECK = 0x282 | DNR;

/** What the controller asks the fault plan (`DeviceModel`). */
export interface PlanOfFaults {
  strike(site: IoSite, first: number, sectors: number): FaultEffect | null;
  /** Whether a power cut is planned. */
  cutsPower(): boolean;
  /** Decides at a power cut whether one unit of the cache is on the media already. */
  survives(): boolean;
}

export class StruckCommands {
  private readonly cache: VolatileCache;

  constructor(
    private readonly plan: PlanOfFaults,
    private readonly slots: CommandSlots,
    private readonly io: IoCommands,
    private readonly namespaces: readonly (Namespace | null)[],
  ) {
    this.cache = new VolatileCache(() => plan.survives());
  }

  /** Carries out an accepted command as the plan wants it: its status, STALLED or FAILED. */
  execute(slot: number): number {
    const { words } = this.slots;
    const at = this.slots.at(slot);
    const watch = this.plan.cutsPower() ? this.cache : null;
    for (const namespace of this.namespaces) if (namespace !== null) namespace.watch = watch;
    const site = siteOf(words, at);
    if (site === null) return this.io.execute(slot);
    const namespace = this.namespaces.at(words[at + 1]) ?? null;
    const [first, sectors] = namespace === null ? [0, 0] : sectorsOf(site, words, at, namespace);
    const effect = this.plan.strike(site, first, sectors);
    const status = effect === null ? this.io.execute(slot) : this.struck(slot, site, namespace, effect);
    if (status === NvmeStatus.success && effect?.kind !== 'lost')
      this.settle(site, words, at, namespace, first, sectors);
    return status;
  }

  private struck(slot: number, site: IoSite, namespace: Namespace | null, effect: FaultEffect): number {
    switch (effect.kind) {
      case 'errno':
        return errorStatus(site, -effect.errno);
      case 'lost':
        return NvmeStatus.success;
      case 'stall':
        return STALLED;
      case 'reset':
        return FAILED;
      case 'powercut':
        this.cache.lose(this.namespaces);
        return FAILED;
      case 'partial':
      case 'torn':
        return this.writePart(slot, namespace, effect.sectors, effect.kind === 'torn');
      case 'misdirected':
        return this.elsewhere(slot, namespace, effect.sectors);
      default:
        return this.io.execute(slot);
    }
  }

  /** All is fetched, so that the DMA is that of a whole command; then what lay behind the first sectors is put back. */
  private writePart(slot: number, namespace: Namespace | null, sectors: number, isSilent: boolean): number {
    if (namespace === null) return this.io.execute(slot);
    const { words } = this.slots;
    const at = this.slots.at(slot);
    const start = firstBlock(words, at) * namespace.blockBytes;
    const bytes = ((words[at + 12] & DW12_NLB_MASK) + 1) * namespace.blockBytes;
    const kept = Math.min(sectors * SECTOR_BYTES, bytes);
    const before = contentOf(namespace, start + kept, bytes - kept);
    const status = this.io.execute(slot);
    if (status !== NvmeStatus.success) return status;
    if (!putContent(namespace, start + kept, before)) return NvmeStatus.writeFault;
    return isSilent ? status : NvmeStatus.writeFault | DNR;
  }

  private elsewhere(slot: number, namespace: Namespace | null, sectors: number): number {
    if (namespace === null) return this.io.execute(slot);
    const { words } = this.slots;
    const at = this.slots.at(slot);
    const first = firstBlock(words, at);
    const blocks = (words[at + 12] & DW12_NLB_MASK) + 1;
    const other = first + Math.trunc((sectors * SECTOR_BYTES) / namespace.blockBytes);
    if (other < 0 || other + blocks > namespace.blocks) return NvmeStatus.success;
    putBlock(words, at, other);
    const status = this.io.execute(slot);
    putBlock(words, at, first);
    return status;
  }

  /** What a command that succeeded has put on the media. */
  private settle(
    site: IoSite,
    words: Int32Array,
    at: number,
    namespace: Namespace | null,
    first: number,
    sectors: number,
  ): void {
    if (site === 'io.flush') {
      for (const each of this.namespaces) {
        if (each !== null && (namespace === null || each === namespace)) this.cache.flushed(each.id);
      }
      return;
    }
    const isWrite = site === 'io.write' || site === 'io.zeroes';
    const isThrough = !this.io.writeCache || (isWrite && (words[at + 12] & DW12_FUA) !== 0);
    if (isThrough && namespace !== null) {
      this.cache.durable(namespace.id, first * SECTOR_BYTES, sectors * SECTOR_BYTES);
    }
  }
}

/** Null: no command that a plan can name. */
function siteOf(words: Int32Array, at: number): IoSite | null {
  switch (words[at] & 0xff) {
    case NvmOpcode.read:
      return 'io.read';
    case NvmOpcode.write:
      return 'io.write';
    case NvmOpcode.flush:
      return 'io.flush';
    case NvmOpcode.writeZeroes:
      return 'io.zeroes';
    case NvmOpcode.datasetManagement:
      return (words[at + 11] & DSM_DEALLOCATE) === 0 ? null : 'io.trim';
    default:
      return null;
  }
}

/** First sector and number of sectors. The ranges of a deallocation are not known here: it counts for the whole namespace. */
function sectorsOf(site: IoSite, words: Int32Array, at: number, namespace: Namespace): readonly [number, number] {
  if (site === 'io.flush') return [0, 0];
  const blockSectors = namespace.blockBytes / SECTOR_BYTES;
  if (site === 'io.trim') return [0, namespace.blocks * blockSectors];
  return [firstBlock(words, at) * blockSectors, ((words[at + 12] & DW12_NLB_MASK) + 1) * blockSectors];
}

function errorStatus(site: IoSite, errno: number): number {
  if (errno === ENOSPC) return CAPACITY_EXCEEDED;
  if (errno === EILSEQ) return GUARD_CHECK;
  if (site === 'io.read') return NvmeStatus.unrecoveredRead | DNR;
  return site === 'io.flush' ? NvmeStatus.internalError | DNR : NvmeStatus.writeFault | DNR;
}

function firstBlock(words: Int32Array, at: number): number {
  return (words[at + 11] >>> 0) * HIGH_WORD + (words[at + 10] >>> 0);
}

function putBlock(words: Int32Array, at: number, block: number): void {
  words[at + 10] = block | 0;
  words[at + 11] = Math.floor(block / HIGH_WORD) | 0;
}
