/**
 * What the driver takes from the structures of Identify.
 * Source: NVM Express Base Specification 1.4, section 5.15.
 */

export interface ControllerIdentity {
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  /** Largest transfer, as 2^mdts pages of 4 KiB; 0: no limit. */
  readonly mdts: number;
  /** Number of namespaces the controller may have. */
  readonly namespaces: number;
  /** Optional commands: bit 2 Dataset Management, bit 3 Write Zeroes, bit 6 Timestamp. */
  readonly oncs: number;
  /** Optional admin commands: bit 8 Doorbell Buffer Config. */
  readonly oacs: number;
  /** Asynchronous events that can be asked for, as in the feature. */
  readonly oaes: number;
  /** Attributes: bit 15 extended formats (ELBAS). */
  readonly ctratt: number;
  /** Log pages: bit 1 commands supported and effects. */
  readonly lpa: number;
  /** Aborts that may be under way at a time. */
  readonly abortsMax: number;
  /** Command retry delays are given (CRDT1). */
  readonly retryDelays: boolean;
  /** Bits 1:0 not 0: SGLs for I/O commands. */
  readonly sgls: number;
  readonly volatileWriteCache: boolean;
}

export interface NamespaceIdentity {
  /** Size in logical blocks. */
  readonly blocks: number;
  /** log2 of the bytes of a logical block. */
  readonly blockShift: number;
}

/** What a disk is made by. */
export interface NamespaceFormat extends NamespaceIdentity {
  /** Bytes of metadata with each block. */
  readonly metadataBytes: number;
  /** Blocks that no transfer should cross a multiple of (NOIOB); 0: none. */
  readonly boundaryBlocks: number;
}

/** What the command set says of the controller. 0: no limit is given. */
export interface CommandSetLimits {
  /** Largest Write Zeroes, as 2^wzsl pages of 4 KiB. */
  readonly wzsl: number;
  /** Ranges of a Dataset Management, and blocks of one range. */
  readonly dmrl: number;
  readonly dmrsl: number;
}

export const ONCS_DSM = 1 << 2;
export const ONCS_WRITE_ZEROES = 1 << 3;
export const ONCS_TIMESTAMP = 1 << 6;
export const OACS_SHADOW_DOORBELLS = 1 << 8;
export const CTRATT_EXTENDED_FORMATS = 1 << 15;
export const LPA_EFFECTS = 1 << 1;

export function readControllerIdentity(page: Uint8Array): ControllerIdentity {
  return {
    serial: text(page, 4, 20),
    model: text(page, 24, 40),
    firmware: text(page, 64, 8),
    mdts: page[77],
    namespaces: integer(page, 516, 4),
    oncs: integer(page, 520, 2),
    oacs: integer(page, 256, 2),
    oaes: integer(page, 92, 4),
    ctratt: integer(page, 96, 4),
    lpa: page[261],
    abortsMax: page[258] + 1,
    retryDelays: integer(page, 128, 2) !== 0,
    sgls: integer(page, 536, 4),
    volatileWriteCache: (page[525] & 1) !== 0,
  };
}

export function readNamespaceIdentity(page: Uint8Array): NamespaceIdentity {
  const format = page[26] & 15;
  return { blocks: integer(page, 0, 8), blockShift: page[128 + 4 * format + 2] };
}

export function readNamespaceFormat(page: Uint8Array): NamespaceFormat {
  const format = page[26] & 15;
  return {
    ...readNamespaceIdentity(page),
    metadataBytes: integer(page, 128 + 4 * format, 2),
    boundaryBlocks: integer(page, 46, 2),
  };
}

/** Of Identify Controller for the NVM command set (CNS 06h). */
export function readCommandSetLimits(page: Uint8Array): CommandSetLimits {
  return { wzsl: page[1], dmrl: page[2], dmrsl: integer(page, 4, 4) };
}

/** The descriptors of a namespace as one text: two are of the same namespace when the texts are equal (nvme_ns_ids_equal). */
export function readNamespaceDescriptors(page: Uint8Array): string {
  const parts: string[] = [];
  for (let at = 0; at + 4 < page.length && page[at + 1] !== 0; at += 4 + page[at + 1]) {
    const value = page.subarray(at + 4, at + 4 + page[at + 1]);
    parts.push(`${page[at]}:${Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('')}`);
  }
  return parts.join(' ');
}

/** The ids of an active namespace list, up to its first zero. */
export function readNamespaceList(page: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 0; at < page.length; at += 4) {
    const id = integer(page, at, 4);
    if (id === 0) break;
    ids.push(id);
  }
  return ids;
}

function text(page: Uint8Array, at: number, length: number): string {
  let value = '';
  for (let i = at; i < at + length; i++) value += String.fromCharCode(page[i]);
  return value.trimEnd();
}

function integer(page: Uint8Array, at: number, bytes: number): number {
  let value = 0;
  for (let i = at + bytes - 1; i >= at; i--) value = value * 256 + page[i];
  return value;
}
