/**
 * The structures that Identify returns: what the controller and its namespaces say of themselves.
 * Every function fills one page of 4096 bytes that is zero on entry; offsets are those of the tables.
 * Source: NVM Express Base Specification 1.4, section 5.15; NVM Command Set Specification for the command set's own structures.
 */
import { VERSION_1_4 } from '../../spec/registers';
import { NAMESPACES_MAX } from '../controller-config';
import type { ControllerConfig } from '../controller-config';
import { LBA_FORMATS } from '../media/namespace';
import type { Namespace } from '../media/namespace';

export const FIRMWARE_REVISION = '1.0';
/** The controller's id in its subsystem. */
export const CONTROLLER_ID = 0;
const PCI_VENDOR = 0x1b36;
const PCI_SUBSYSTEM_VENDOR = 0x1af4;
/** Optional NVM commands: Compare, Write Uncorrectable, Dataset Management, Write Zeroes, Save and Select, Timestamp, Verify, Copy. */
const ONCS = (1 << 0) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 6) | (1 << 7) | (1 << 8);
const ONCS_WRITE_UNCORRECTABLE = 1 << 1;
/** Optional admin commands: Format, namespaces; and, if set, shadow doorbells. */
const OACS = (1 << 1) | (1 << 3);
const OACS_SHADOW_DOORBELLS = 1 << 8;
/** Composite temperatures from which a warning and a critical condition are reported, kelvin. */
export const WARNING_TEMPERATURE_K = 0x157;
const CRITICAL_TEMPERATURE_K = 0x175;
/** Dataset Management: blocks of one range that are worth asking for. */
const DMRSL = 0x7ffff;
const IO_COMMAND_SETS_ATTRIBUTE = 1 << 15;

export function identifyController(page: Uint8Array, config: ControllerConfig): void {
  putNumber(page, 0, PCI_VENDOR, 2);
  putNumber(page, 2, PCI_SUBSYSTEM_VENDOR, 2);
  putText(page, 4, 20, config.serial);
  putText(page, 24, 40, config.modelName);
  putText(page, 64, 8, FIRMWARE_REVISION);
  page[72] = 6; // RAB
  page[77] = config.mdts;
  putNumber(page, 78, CONTROLLER_ID, 2);
  putNumber(page, 80, VERSION_1_4, 4);
  if (config.namespaceManagement) putNumber(page, 92, 1 << 8, 4); // OAES: namespace attribute notices
  putNumber(page, 96, IO_COMMAND_SETS_ATTRIBUTE, 4); // CTRATT
  page[111] = 1; // CNTRLTYPE: an I/O controller
  putNumber(page, 256, OACS | (config.shadowDoorbells ? OACS_SHADOW_DOORBELLS : 0), 2);
  page[258] = 3; // ACL: four Aborts at a time
  page[259] = config.aerl;
  page[260] = 3; // FRMW: one slot, read-only
  page[261] = (1 << 0) | (1 << 1) | (1 << 2); // LPA: SMART by namespace, effects log, offsets
  page[262] = config.errorLogEntries - 1; // ELPE
  putNumber(page, 266, WARNING_TEMPERATURE_K, 2);
  putNumber(page, 268, CRITICAL_TEMPERATURE_K, 2);
  page[512] = 0x66; // SQES
  page[513] = 0x44; // CQES
  putNumber(page, 516, NAMESPACES_MAX, 4);
  putNumber(page, 520, ONCS | (config.writeUncorrectable ? ONCS_WRITE_UNCORRECTABLE : 0), 2);
  page[525] = 7; // VWC: present, and Flush takes the broadcast namespace id
  putNumber(page, 534, 3, 2); // OCFS: copy formats 0 and 1
  putNumber(page, 536, 1, 4); // SGLS: no alignment
  putText(page, 768, 256, `nqn.2025-01.invalid.pincushion:${config.serial}`, 0);
  // Power state 0: 25 W, and its latencies, microseconds.
  putNumber(page, 2048, 2500, 2);
  putNumber(page, 2052, 16, 4);
  putNumber(page, 2056, 4, 4);
}

export function identifyNamespace(page: Uint8Array, namespace: Namespace): void {
  const { limits } = namespace;
  putNumber(page, 0, namespace.blocks, 8); // NSZE
  putNumber(page, 8, namespace.blocks, 8); // NCAP
  putNumber(page, 16, namespace.blocks, 8); // NUSE
  page[24] = (1 << 2) | (1 << 4); // NSFEAT: deallocated blocks can be told; granularities are given
  page[25] = LBA_FORMATS.length - 1; // NLBAF, 0's based
  page[26] = namespace.format; // FLBAS
  page[33] = 1 | (1 << 3); // DLFEAT: deallocated blocks read as zeroes, Write Zeroes may deallocate
  // NPWG … NOWS, 0's based: the flash is worked on in units of 4 KiB.
  const unit = 4096 / namespace.blockBytes - 1;
  for (const at of [64, 66, 68, 70, 72]) putNumber(page, at, unit, 2);
  putNumber(page, 74, limits.copyRangeBlocksMax, 2); // MSSRL
  putNumber(page, 76, limits.copyBlocksMax, 4); // MCL
  page[80] = limits.copyRangesMax - 1; // MSRC
  for (const [i, blockShift] of LBA_FORMATS.entries()) putNumber(page, 128 + 4 * i, blockShift << 16, 4);
}

/** Ids above `after`, ascending. */
export function identifyNamespaceList(
  page: Uint8Array,
  namespaces: readonly (Namespace | null)[],
  after: number,
): void {
  let at = 0;
  for (const namespace of namespaces) {
    if (namespace === null || namespace.id <= after || at === page.length) continue;
    putNumber(page, at, namespace.id, 4);
    at += 4;
  }
}

/** Two descriptors: a UUID made of serial number and namespace id; and the NVM command set. */
export function identifyNamespaceDescriptors(page: Uint8Array, config: ControllerConfig, namespace: Namespace): void {
  page[0] = 3; // UUID
  page[1] = 16;
  putText(page, 4, 12, config.serial, 0);
  putNumber(page, 16, namespace.id, 4);
  page[10] = 0x80 | (page[10] & 0x0f); // version 8: custom
  page[12] = 0x80 | (page[12] & 0x3f);
  page[20] = 4; // CSI
  page[21] = 1;
}

/** What the NVM command set has of its own: how much Verify takes at a time, and limits of Dataset Management. */
export function identifyNvmController(page: Uint8Array, config: ControllerConfig): void {
  page[0] = config.vsl;
  putNumber(page, 4, DMRSL, 4);
}

/** A list of controllers with this one alone in it, or empty. */
export function identifyControllerList(page: Uint8Array, isIn: boolean): void {
  if (!isIn) return;
  putNumber(page, 0, 1, 2);
  putNumber(page, 2, CONTROLLER_ID, 2);
}

/** The one combination of command sets: NVM. */
export function identifyCommandSets(page: Uint8Array): void {
  page[0] = 1;
}

function putText(page: Uint8Array, at: number, length: number, value: string, pad = 0x20): void {
  for (let i = 0; i < length; i++) page[at + i] = i < value.length ? value.charCodeAt(i) & 0x7f : pad;
}

/** Little-endian. */
export function putNumber(page: Uint8Array, at: number, value: number, bytes: number): void {
  let left = value;
  for (let i = 0; i < bytes; i++) {
    page[at + i] = left % 256;
    left = Math.floor(left / 256);
  }
}
