/**
 * The structures that Identify returns: what the controller and its namespaces say of themselves.
 * Every function fills one page of 4096 bytes that is zero on entry; offsets are those of the tables.
 * Source: NVM Express Base Specification 1.4, section 5.15.
 */
import { VERSION_1_4 } from '../spec/registers';
import { ASYNC_EVENT_LIMIT } from './async-events';
import { NAMESPACES_MAX } from './controller-config';
import type { ControllerConfig } from './controller-config';
import type { Namespace } from './namespace';

const FIRMWARE_REVISION = '1.0';
/** Optional NVM commands: Dataset Management, Write Zeroes, Timestamp. */
const ONCS = (1 << 2) | (1 << 3) | (1 << 6);

export function identifyController(page: Uint8Array, config: ControllerConfig): void {
  text(page, 4, 20, config.serial);
  text(page, 24, 40, config.modelName);
  text(page, 64, 8, FIRMWARE_REVISION);
  page[72] = 6; // RAB
  page[77] = config.mdts;
  number(page, 80, VERSION_1_4, 4);
  page[258] = 3; // ACL: four Aborts at a time
  page[259] = ASYNC_EVENT_LIMIT;
  page[260] = 3; // FRMW: one slot, read-only
  page[261] = (1 << 1) | (1 << 2); // LPA: effects log, offsets
  page[512] = 0x66; // SQES
  page[513] = 0x44; // CQES
  number(page, 516, NAMESPACES_MAX, 4);
  number(page, 520, ONCS, 2);
  page[525] = 7; // VWC: present, and Flush takes the broadcast namespace id
  text(page, 768, 256, `nqn.2025-01.invalid.pincushion:${config.serial}`, 0);
}

export function identifyNamespace(page: Uint8Array, namespace: Namespace): void {
  number(page, 0, namespace.blocks, 8); // NSZE
  number(page, 8, namespace.blocks, 8); // NCAP
  number(page, 16, namespace.blocks, 8); // NUSE
  page[24] = 1 << 2; // NSFEAT: deallocated blocks can be told
  page[25] = 0; // NLBAF: one format
  page[26] = 0; // FLBAS
  page[33] = 1 | (1 << 3); // DLFEAT: deallocated blocks read as zeroes, Write Zeroes may deallocate
  number(page, 128, namespace.blockShift << 16, 4); // LBAF0: LBADS
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
    number(page, at, namespace.id, 4);
    at += 4;
  }
}

/** One descriptor: a UUID made of serial number and namespace id; and the NVM command set. */
export function identifyNamespaceDescriptors(page: Uint8Array, config: ControllerConfig, namespace: Namespace): void {
  page[0] = 3; // UUID
  page[1] = 16;
  text(page, 4, 12, config.serial, 0);
  number(page, 16, namespace.id, 4);
  page[10] = 0x80 | (page[10] & 0x0f); // version 8: custom
  page[12] = 0x80 | (page[12] & 0x3f);
  page[20] = 4; // CSI
  page[21] = 1;
}

/** The one combination of command sets: NVM. */
export function identifyCommandSets(page: Uint8Array): void {
  page[0] = 1;
}

function text(page: Uint8Array, at: number, length: number, value: string, pad = 0x20): void {
  for (let i = 0; i < length; i++) page[at + i] = i < value.length ? value.charCodeAt(i) & 0x7f : pad;
}

/** Little-endian. */
export function number(page: Uint8Array, at: number, value: number, bytes: number): void {
  let left = value;
  for (let i = 0; i < bytes; i++) {
    page[at + i] = left % 256;
    left = Math.floor(left / 256);
  }
}
