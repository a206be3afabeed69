/** Bringing the heap to rest, so that the growth of the process says what was asked. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const SETTLE_MS = 200;
const UNTOUCHED_BYTES = 2 ** 32;
/** 80 MiB of small objects: more than the young generation can hold. */
const SMALL_OBJECTS = 1 << 20;

/** Collects garbage, and waits until the host has its pages back. */
function settleHeap(): void {
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

/**
 * The same for work that leaves garbage behind: the part of the heap where that lies is written to all over, so that it
 * counts before and after the work alike.
 */
export function settleYoungHeap(): void {
  settleHeap();
  const some: number[][] = [];
  for (let i = 0; i < SMALL_OBJECTS; i++) some[i & 1023] = [i, i, i, i, i, i, i, i];
}
