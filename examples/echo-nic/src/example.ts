/** What a program does with an echo NIC, from open to close: what `pincushion verify` runs under every condition. */
import type { ExampleProgram, Task, UserProgram } from '@pincushion/driver';
import { EILSEQ, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { EchoSocket } from './echo-nic.library';

const LENGTH = 2 * 4096;
const BYTES = 3000;

export const example: ExampleProgram = function* (program) {
  const mapped = program.mmap(LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  if (address < 0) return address;
  const socket = yield* EchoSocket.open(program);
  if (typeof socket === 'number') return socket;
  const result = yield* echo(program, socket, address);
  const closed = yield* socket.close();
  return result < 0 ? result : closed;
};

/** Sends from the first page and receives into the second. */
function* echo(program: UserProgram, socket: EchoSocket, address: number): Task<number> {
  const sent = Uint8Array.from({ length: BYTES }, (_, i) => i % 251);
  const stored = program.write(address, sent);
  let n = typeof stored === 'number' ? stored : yield* stored;
  if (n >= 0) n = yield* socket.register(address, LENGTH);
  if (n >= 0) n = yield* socket.send(0, BYTES);
  if (n >= 0) n = yield* socket.receive(4096, 4096);
  if (n < 0) return n;
  const received = new Uint8Array(BYTES);
  const loaded = program.read(address + 4096, received);
  n = typeof loaded === 'number' ? loaded : yield* loaded;
  if (n < 0) return n;
  return received.every((byte, i) => byte === sent[i]) ? 0 : -EILSEQ;
}
