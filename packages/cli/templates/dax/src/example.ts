/** What a program does with my-device, from map to unmap: what `pincushion verify` runs under every condition. */
import type { ExampleProgram, Task, UserProgram } from '@pincushion/driver';
import { EILSEQ } from '@pincushion/driver';
import { MyDeviceMemory } from './my-device.library';

/** Lies across the border of the first two pages. */
const START = 4000;
const BYTES = 300;

export const example: ExampleProgram = function* (program, device) {
  const memory = yield* MyDeviceMemory.map(program, `/dev/${device}`);
  if (typeof memory === 'number') return memory;
  const kept = yield* storeAndFlush(program, memory);
  const unmapped = yield* memory.unmap();
  return kept < 0 ? kept : unmapped;
};

function* storeAndFlush(program: UserProgram, memory: MyDeviceMemory): Task<number> {
  const record = Uint8Array.from({ length: BYTES }, (_, i) => (i * 7) % 251);
  const stored = program.write(memory.address + START, record);
  let n = typeof stored === 'number' ? stored : yield* stored;
  if (n >= 0) n = yield* memory.flush(START, BYTES);
  if (n < 0) return n;
  const seen = new Uint8Array(BYTES);
  const loaded = program.read(memory.address + START, seen);
  n = typeof loaded === 'number' ? loaded : yield* loaded;
  if (n < 0) return n;
  return seen.every((byte, i) => byte === record[i]) ? 0 : -EILSEQ;
}
