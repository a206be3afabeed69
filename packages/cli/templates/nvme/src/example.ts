/** What a program does with my-device, from open to close: what `pincushion verify` runs under every condition. */
import type { ExampleProgram, Task, UserProgram } from '@pincushion/driver';
import { EILSEQ, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';

/** Three pages and a half, so that a PRP list is needed. */
const BYTES = 14_336;
const AREA = 5 * 4096;
const POSITION = 1 << 20;

export const example: ExampleProgram = function* (program, device) {
  const mapped = program.mmap(2 * AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const address = typeof mapped === 'number' ? mapped : yield* mapped;
  if (address < 0) return address;
  const fd = yield* program.open(`/dev/${device}`);
  if (fd < 0) return fd;
  const result = yield* writeAndReadBack(program, fd, address);
  const closed = yield* program.close(fd);
  return result < 0 ? result : closed;
};

/** Both buffers begin in the middle of a page. */
function* writeAndReadBack(program: UserProgram, fd: number, address: number): Task<number> {
  const from = address + 512;
  const to = address + AREA + 1024;
  const written = Uint8Array.from({ length: BYTES }, (_, i) => (i * 7) % 253);
  const stored = program.write(from, written);
  let n = typeof stored === 'number' ? stored : yield* stored;
  if (n >= 0) n = yield* program.pwrite(fd, from, BYTES, POSITION);
  if (n >= 0) n = yield* program.fsync(fd);
  if (n >= 0) n = yield* program.pread(fd, to, BYTES, POSITION);
  if (n < 0) return n;
  const read = new Uint8Array(BYTES);
  const loaded = program.read(to, read);
  n = typeof loaded === 'number' ? loaded : yield* loaded;
  if (n < 0) return n;
  return read.every((byte, i) => byte === written[i]) ? 0 : -EILSEQ;
}
