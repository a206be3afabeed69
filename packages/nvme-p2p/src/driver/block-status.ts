/**
 * What the status of an NVMe command means to the block layer.
 * Source followed: `nvme_error_status`, `nvme_decide_disposition` (Linux 6.18, drivers/nvme/host/core.c), `nvme_map_data` (pci.c).
 */
import { BlkStatus, ENOMEM, EREMOTEIO } from '@pincushion/driver';
import { DNR, STATUS_MASK } from '../spec/status';

/** Whether the command may be sent again: the controller has not said otherwise. */
export function mayRetry(status: number): boolean {
  return (status & DNR) === 0;
}

export function blockStatus(status: number): number {
  switch (status & STATUS_MASK) {
    case 0x000:
      return BlkStatus.ok;
    case 0x081: // capacity exceeded
      return BlkStatus.nospc;
    case 0x080: // LBA out of range
    case 0x082: // namespace not ready
    case 0x021: // command interrupted
      return BlkStatus.target;
    case 0x001: // invalid opcode
    case 0x002: // invalid field
    case 0x00b: // invalid namespace
    case 0x180: // conflicting attributes
      return BlkStatus.notSupp;
    case 0x280: // write fault
    case 0x281: // unrecovered read error
    case 0x286: // access denied
    case 0x287: // deallocated or unwritten block
    case 0x285: // compare failure
      return BlkStatus.medium;
    case 0x282: // guard check
    case 0x283: // application tag check
    case 0x284: // reference tag check
    case 0x181: // invalid protection information
      return BlkStatus.protection;
    case 0x083: // reservation conflict
      return BlkStatus.resvConflict;
    default:
      return BlkStatus.ioerr;
  }
}

/** How a bio ends that cannot be mapped: memory of a peer that must not be reached is a case of its own. */
export function mappingStatus(errno: number): number {
  if (errno === -ENOMEM) return BlkStatus.resource;
  return errno === -EREMOTEIO ? BlkStatus.target : BlkStatus.ioerr;
}
