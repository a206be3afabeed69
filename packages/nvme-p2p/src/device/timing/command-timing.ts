/**
 * What the controller asks of a timing model: how long its commands take (timing.ts has the list of models).
 */

/** Instead of a delay: the model itself says when the command is over. */
export const LATER = -1;

/**
 * Reads, writes and flushes give the nanoseconds from now until the command is over, or LATER: then the model calls
 * `ended(slot)` exactly once, in device context, also after a `reset`.
 *
 * A place is a flash page of 16 KiB from the start of the namespace, modulo 2^32, and the bytes into it. `slot` is a
 * number from 0 up that no other command inside has; the numbers should be dense.
 */
export interface CommandTiming {
  /** @param bytes at least 1 */
  read(nowNs: number, page: number, offset: number, bytes: number, slot: number, nsid: number): number;
  /** With `durable`, until it is on the media; else until it is acknowledged. */
  write(
    nowNs: number,
    page: number,
    offset: number,
    bytes: number,
    durable: boolean,
    slot: number,
    nsid: number,
  ): number;
  /** Until everything acknowledged before is on the media. */
  flush(nowNs: number, slot: number): number;
  /** Deallocation and zeroing as work on the map, in nanoseconds; never LATER. */
  trim(): number;
  /** The content of these bytes of a namespace is no longer needed. */
  deallocate(nsid: number, firstByte: number, bytes: number): void;
  /** An admin command, in nanoseconds; never LATER. */
  admin(): number;
  /** Forgets all work in progress: a controller reset. What was written stays written. */
  reset(): void;
}

/** The events of a device, as a timing model needs them. */
export interface DeviceTime {
  /** Virtual nanoseconds. */
  nowNs(): number;
  /** Registers what events run; the result is for `schedule`. */
  handler(name: string, run: (arg: number) => undefined): number;
  /** Runs a handler `ns` nanoseconds from now, in device context; `arg` is an int32. */
  schedule(ns: number, handlerId: number, arg: number): number;
}
