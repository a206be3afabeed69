/**
 * The controller memory buffer as peer-to-peer memory: what Linux does with a CMB besides putting submission queues in it.
 *
 * The controller shows where its buffer is only when asked (CMBMSC.CRE), and takes addresses in it only when told which: the
 * bus address of the BAR, so that the address a peer uses and the one in a command are the same.
 * Left out: submission queues in the buffer (module parameter use_cmb_sqes), the scheme before NVMe 1.4.
 * Source followed: `nvme_map_cmb` (Linux 6.18, drivers/nvme/host/pci.c).
 */
import type { Log, PeerMemory, PeerResource, Registers } from '@pincushion/driver';
import { errnoName, formatBytes } from '@pincushion/driver';
import { CAP_HIGH_CMBS, CMBMSC_CMSE, CMBMSC_CRE, REG_CAP, REG_CMBLOC, REG_CMBMSC, REG_CMBSZ } from '../spec/registers';

/** CMBSZ: units of 4 KiB times 16^SZU, up to 64 GiB. */
const UNITS = Object.freeze([0x1000, 0x1_0000, 0x10_0000, 0x100_0000, 0x1000_0000, 0x1_0000_0000, 0x10_0000_0000]);
const SZU_SHIFT = 8;
const SZU_MASK = 15;
const SZ_SHIFT = 12;
/** Data of reads, and of writes, may lie in the buffer. */
const CMBSZ_RDS = 1 << 3;
const CMBSZ_WDS = 1 << 4;
/** CMBLOC: which BAR, and where in it, in the same units. */
const BIR_MASK = 7;
const BIR_MAX = 4;
const OFST_SHIFT = 12;

/**
 * Registers the buffer of a controller, if it has one, and publishes it when commands may read and write it. Task context.
 * @returns the resource, which the device must own; null when there is no buffer that could be used
 */
export function mapCmb(registers: Registers, peers: PeerMemory, log: Log): PeerResource | null {
  if ((registers.read32(REG_CAP + 4) & CAP_HIGH_CMBS) === 0) return null;
  registers.write32(REG_CMBMSC, CMBMSC_CRE);
  const cmbsz = registers.read32(REG_CMBSZ);
  const cmbloc = registers.read32(REG_CMBLOC);
  if (cmbsz >>> SZ_SHIFT === 0) return null;
  const unit = UNITS.at((cmbsz >>> SZU_SHIFT) & SZU_MASK) ?? 0;
  const offset = unit * (cmbloc >>> OFST_SHIFT);
  const bir = cmbloc & BIR_MASK;
  if (unit === 0 || bir > BIR_MAX) return null; // reserved, or what a controller reads as that is no longer there
  const bar = registers.bar(bir);
  if (offset >= bar.bytes) return null; // a BAR that is not there
  // A buffer may be larger than its BAR.
  const bytes = Math.min(unit * (cmbsz >>> SZ_SHIFT), bar.bytes - offset);
  enableCmb(registers, bar.busAddress + offset);
  const resource = peers.add(bir, offset, bytes);
  if (typeof resource === 'number') {
    log.note(`failed to register the CMB: ${errnoName(resource)}`);
    registers.write64lohi(REG_CMBMSC, 0);
    return null;
  }
  const holdsData = (cmbsz & (CMBSZ_RDS | CMBSZ_WDS)) === (CMBSZ_RDS | CMBSZ_WDS);
  if (holdsData) resource.publish(true);
  log.note(`added ${formatBytes(bytes)} of peer-to-peer memory${holdsData ? '' : ', not published'}`);
  return resource;
}

/** From now on the controller takes addresses from `busAddress` on for its buffer, which it shows. */
function enableCmb(registers: Registers, busAddress: number): void {
  // High half first, so that the enabling bits come with a whole address (hi_lo_writeq).
  registers.write32(REG_CMBMSC + 4, Math.floor(busAddress / 0x1_0000_0000));
  registers.write32(REG_CMBMSC, (busAddress % 0x1_0000_0000) + (CMBMSC_CRE | CMBMSC_CMSE));
}
