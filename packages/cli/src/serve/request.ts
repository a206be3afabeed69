/** What clients of a served machine ask for, and what they are answered: plain data, so that it can be recorded. */

/** An I/O on a disk. Offset and length in bytes. */
export interface BlockRequest {
  readonly kind: 'block';
  readonly op: BlockOp;
  /** Name of the disk. */
  readonly disk: string;
  readonly offset: number;
  readonly length: number;
  /** The client wants it on stable media before the reply. */
  readonly fua: boolean;
  /** Of a write, `length` bytes; else null. */
  readonly data: Uint8Array | null;
}

export const BLOCK_OPS = ['read', 'write', 'flush', 'trim', 'zeroes'] as const;
export type BlockOp = (typeof BLOCK_OPS)[number];

/** A command for an NVMe controller. */
export interface NvmeRequest {
  readonly kind: 'nvme';
  /** For the admin queue; else for an I/O queue. */
  readonly isAdmin: boolean;
  /** 64 bytes; command identifier and data pointers are the driver's. */
  readonly command: Uint8Array;
  /** Data for the controller. */
  readonly data: Uint8Array;
  /** Bytes that the client wants back. */
  readonly wanted: number;
}

/** A change of the fault plan while clients are at work: another plan is armed, or null: all rules are forgotten. */
interface PlanRequest {
  readonly kind: 'plan';
  readonly plan: string | null;
}

export type ServedRequest = BlockRequest | NvmeRequest | PlanRequest;

/** How a request ended. */
export interface ServedReply {
  /** 0, or for a block request a negative errno, for an NVMe command its status. */
  readonly status: number;
  /** Dword 0 of an NVMe completion. */
  readonly result: number;
  /** What was read; empty where nothing was. */
  readonly data: Uint8Array;
}

/** A request inside of the machine. */
export interface Arrival {
  /** Counted from 1. */
  readonly id: number;
  readonly request: ServedRequest;
}
