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
  readonly volatileWriteCache: boolean;
}

export interface NamespaceIdentity {
  /** Size in logical blocks. */
  readonly blocks: number;
  /** log2 of the bytes of a logical block. */
  readonly blockShift: number;
}

export const ONCS_DSM = 1 << 2;
export const ONCS_WRITE_ZEROES = 1 << 3;
export const ONCS_TIMESTAMP = 1 << 6;

export function readControllerIdentity(page: Uint8Array): ControllerIdentity {
  return {
    serial: text(page, 4, 20),
    model: text(page, 24, 40),
    firmware: text(page, 64, 8),
    mdts: page[77],
    namespaces: integer(page, 516, 4),
    oncs: integer(page, 520, 2),
    volatileWriteCache: (page[525] & 1) !== 0,
  };
}

export function readNamespaceIdentity(page: Uint8Array): NamespaceIdentity {
  const format = page[26] & 15;
  return { blocks: integer(page, 0, 8), blockShift: page[128 + 4 * format + 2] };
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
