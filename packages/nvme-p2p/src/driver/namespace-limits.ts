/**
 * The limits of a namespace's disk, from what controller, command set and namespace say of themselves.
 *
 *   longest read or write    MDTS, pages of 4 KiB; at most 2 MiB
 *   segments                 any, when the controller takes SGLs; else no gap but at page boundaries
 *   discard                  DMRSL blocks, DMRL ranges (256 when not given)
 *   write zeroes             WZSL, else as a write
 *   chunk                    NOIOB
 *   flush, FUA               VWC
 *
 * Source followed: `nvme_set_ctrl_limits`, `nvme_config_discard`, `nvme_set_chunk_sectors`, `nvme_init_non_mdts_limits`,
 * `nvme_update_disk_info` (Linux 6.18, drivers/nvme/host/core.c), `nvme_pci_get_virt_boundary` (pci.c).
 */
import type { QueueLimits } from '@pincushion/driver';
import { DSM_RANGES_MAX } from '../spec/opcodes';
import { SGL_DESCRIPTORS_MAX } from './data-lists';
import type { NvmeDriverConfig } from './driver-config';
import { ONCS_DSM, ONCS_WRITE_ZEROES } from './identity';
import type { CommandSetLimits, ControllerIdentity, NamespaceFormat } from './identity';

const PAGE = 4096;
const SECTOR = 512;
/** Transfers of a controller without a limit are held to this: one list page. */
const MDTS_MAX = 9;
/** Blocks of one Write Zeroes: NLB has 16 bits. */
const ZEROES_BLOCKS_MAX = 0x10000;
/** The block layer counts in sectors of 32 bits. */
const SECTORS_MAX = 0xffffffff;
/** SGLS: with any alignment, or with one of a dword. */
const SGLS_SUPPORTED = 3;

/** Largest transfer in pages of 4 KiB. */
export function transferPages({ mdts }: ControllerIdentity): number {
  return 1 << (mdts === 0 || mdts > MDTS_MAX ? MDTS_MAX : mdts);
}

/** Whether I/O commands may have SGLs (nvme_ctrl_sgl_supported; a threshold of 0 forbids them). */
export function takesSgls(identity: ControllerIdentity, { sglThreshold }: NvmeDriverConfig): boolean {
  return sglThreshold !== 0 && (identity.sgls & SGLS_SUPPORTED) !== 0;
}

export function namespaceLimits(
  identity: ControllerIdentity,
  commandSet: CommandSetLimits,
  { blockShift, boundaryBlocks }: NamespaceFormat,
  config: NvmeDriverConfig,
): QueueLimits {
  const { oncs, volatileWriteCache } = identity;
  const pages = transferPages(identity);
  const transferBytes = pages * PAGE;
  const takesPieces = takesSgls(identity, config) && pages < SGL_DESCRIPTORS_MAX;
  const zeroesBytes = commandSet.wzsl === 0 ? transferBytes : PAGE * 2 ** commandSet.wzsl;
  const discardBytes = commandSet.dmrsl === 0 ? Infinity : commandSet.dmrsl * 2 ** blockShift;
  return {
    logicalBlockBytes: 1 << blockShift,
    maxBytes: transferBytes,
    maxPages: pages + 1,
    dmaAlignmentBytes: 4, // PRP1 is dword aligned; Linux: dma_alignment 3.
    maxDiscardBytes: (oncs & ONCS_DSM) === 0 ? 0 : Math.min(discardBytes, SECTORS_MAX * SECTOR),
    maxDiscardSegments: commandSet.dmrl === 0 ? DSM_RANGES_MAX : commandSet.dmrl,
    maxWriteZeroesBytes: (oncs & ONCS_WRITE_ZEROES) === 0 ? 0 : Math.min(zeroesBytes, ZEROES_BLOCKS_MAX << blockShift),
    volatileCache: volatileWriteCache,
    fua: volatileWriteCache,
    pciP2pdma: true, // nvme_pci_supports_pci_p2pdma
    ...(takesPieces ? { virtBoundaryBytes: 0 } : {}),
    ...(boundaryBlocks === 0 ? {} : { chunkBytes: boundaryBlocks << blockShift }),
  };
}
