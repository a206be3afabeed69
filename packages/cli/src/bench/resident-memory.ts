/** Bringing the heap to rest, so that the growth of the process says what was asked. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const SETTLE_MS = 200;
const UNTOUCHED_BYTES = 2 ** 32;

/** Collects garbage, and waits until the host has its pages back. */
export function settleHeap(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  // The host gets its pages back in the background.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SETTLE_MS);
}

/**
 * The same for work that makes a large ArrayBuffer: that makes V8 give back what the loading of the program has left over
 * (some 10 MiB), and would hide as much growth.
 */
export function shrinkHeap(): void {
  new Uint8Array(UNTOUCHED_BYTES).at(0);
  settleHeap();
}
