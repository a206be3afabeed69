/** What a program does with my-device, from open to close: what `pincushion verify` runs under every condition. */
import type { ExampleProgram, Task, UserProgram } from '@pincushion/driver';
import { EILSEQ, EIO, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { MyDeviceContext } from './my-device.library';
import { Access } from './region-table';

const LENGTH = 2 * 4096;
const BYTES = 3000;

export const example: ExampleProgram = function* (program, device) {
  const mapped = program.mmap(2 * LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  if (address < 0) return address;
  const context = yield* MyDeviceContext.open(program, `/dev/${device}`);
  if (typeof context === 'number') return context;
  const result = yield* sendAndFetch(program, context, address);
  const closed = yield* context.close();
  return result < 0 ? result : closed;
};

/** Writes to a remote region, reads it back to another place, and closes while a last request may be under way. */
function* sendAndFetch(program: UserProgram, context: MyDeviceContext, address: number): Task<number> {
  const sent = Uint8Array.from({ length: BYTES }, (_, i) => (i * 7) % 251);
  const stored = program.write(address, sent);
  let n = typeof stored === 'number' ? stored : yield* stored;
  if (n < 0) return n;
  const localKey = yield* context.register(address, LENGTH, Access.localWrite);
  if (localKey < 0) return localKey;
  const all = Access.localWrite | Access.remoteWrite | Access.remoteRead;
  const remoteKey = yield* context.register(address + LENGTH, LENGTH, all);
  if (remoteKey < 0) return remoteKey;

  const there = { localKey, localOffset: 0, remoteKey, remoteOffset: 500, length: BYTES } as const;
  n = yield* context.post({ id: 1, operation: 'write', ...there });
  if (n >= 0) n = yield* context.post({ id: 2, operation: 'read', ...there, localOffset: 4096 });
  for (let id = 1; id <= 2 && n >= 0; id++) {
    const completion = yield* context.next();
    if (typeof completion === 'number') return completion;
    if (completion.status !== 0 || completion.id !== id) n = -EIO;
  }
  if (n >= 0) n = yield* context.post({ id: 3, operation: 'write', ...there });
  if (n < 0) return n;

  const received = new Uint8Array(BYTES);
  const loaded = program.read(address + 4096, received);
  n = typeof loaded === 'number' ? loaded : yield* loaded;
  if (n < 0) return n;
  return received.every((byte, i) => byte === sent[i]) ? 0 : -EILSEQ;
}
