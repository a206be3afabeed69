/** What a program does with my-device, from open to close: what `pincushion verify` runs under every condition. */
import type { ExampleProgram, Task, UserProgram } from '@pincushion/driver';
import { EILSEQ, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { MyDevice } from './my-device.library';

const LENGTH = 2 * 4096;
/** Begins in the middle of the first page and ends in the second. */
const START = 1000;
const BYTES = 5000;

export const example: ExampleProgram = function* (program, device) {
  const mapped = program.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  if (address < 0) return address;
  const opened = yield* MyDevice.open(program, `/dev/${device}`);
  if (typeof opened === 'number') return opened;
  const filled = yield* opened.fill(address + START, BYTES, 0x5a);
  const closed = yield* opened.close();
  if (filled < 0 || closed < 0) return Math.min(filled, closed);
  return yield* check(program, address);
};

/** The bytes that were asked for are there, and no others were touched. */
function* check(program: UserProgram, address: number): Task<number> {
  const memory = new Uint8Array(LENGTH);
  const loaded = program.read(address, memory);
  const n = typeof loaded === 'number' ? loaded : yield* loaded;
  if (n < 0) return n;
  const right = memory.every((byte, i) => byte === (i >= START && i < START + BYTES ? 0x5a : 0));
  return right ? 0 : -EILSEQ;
}
