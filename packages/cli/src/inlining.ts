/**
 * How far V8 inlines. The path of one I/O is some eighty small functions in six packages, which is how it reads best; V8's
 * default budget is spent halfway down. With this one nearly all of it becomes a few functions of machine code. Calls that
 * are rare among those seen so far are inlined as well: a run often begins with other I/O than it goes on with, and V8
 * decides by the counts of that moment. Together 1.5 times the I/Os per second at least (benchmark
 * nvme.read4k.qd32.nodata). A setting of the process, so it lives with the command.
 */
import { setFlagsFromString } from 'node:v8';

export function inlineHotPaths(): void {
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=16000');
  setFlagsFromString('--max-inlined-bytecode-size-absolute=20000');
  setFlagsFromString('--min-inlining-frequency=0.01');
}
