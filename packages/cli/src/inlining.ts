/**
 * How far V8 inlines. The path of one I/O is some eighty small functions in six packages, which is how it reads best; V8's
 * default budget is spent halfway down. With this one nearly all of it becomes a few functions of machine code: 1.5 times
 * the I/Os per second (benchmark nvme.read4k.qd32.nodata). A setting of the process, so it lives with the command.
 */
import { setFlagsFromString } from 'node:v8';

export function inlineHotPaths(): void {
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=4000');
  setFlagsFromString('--max-inlined-bytecode-size-absolute=10000');
}
