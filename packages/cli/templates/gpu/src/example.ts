/** What a program does with my-device, from open to close: what `pincushion verify` runs under every condition. */
import type { ExampleProgram, Task, UserProgram } from '@pincushion/driver';
import { EILSEQ, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { MyDeviceContext } from './my-device.library';

const LENGTH = 2 * 4096;

export const example: ExampleProgram = function* (program, device) {
  const mapped = program.mmap(2 * LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  if (address < 0) return address;
  const context = yield* MyDeviceContext.open(program, `/dev/${device}`);
  if (typeof context === 'number') return context;
  const result = yield* fillAndCopy(program, context, address);
  const closed = yield* context.close();
  return result < 0 ? result : closed;
};

/** Fills one buffer, copies it to the other behind its back, and closes while a last job may still be running. */
function* fillAndCopy(program: UserProgram, context: MyDeviceContext, address: number): Task<number> {
  const from = yield* context.create(address, LENGTH);
  if (from < 0) return from;
  const to = yield* context.create(address + LENGTH, LENGTH);
  if (to < 0) return to;
  const filled = yield* context.submit({ operation: 'fill', to: from, toOffset: 100, length: 5000, value: 0x5a });
  if (filled < 0) return filled;
  const copied = yield* context.submit({ operation: 'copy', from, fromOffset: 0, to, toOffset: 0, length: LENGTH });
  if (copied < 0) return copied;
  let n = yield* context.wait(filled);
  if (n >= 0) n = yield* context.wait(copied);
  if (n >= 0) n = yield* context.destroy(from);
  if (n < 0) return n;
  const last = yield* context.submit({ operation: 'fill', to, toOffset: LENGTH - 1000, length: 1000, value: 1 });
  if (last < 0) return last;
  const memory = new Uint8Array(5200);
  const loaded = program.read(address + LENGTH, memory);
  n = typeof loaded === 'number' ? loaded : yield* loaded;
  if (n < 0) return n;
  return memory.every((byte, i) => byte === (i >= 100 && i < 5100 ? 0x5a : 0)) ? 0 : -EILSEQ;
}
