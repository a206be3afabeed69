/**
 * A workload module: programs that write records to the disk, make them durable and read them back.
 *
 * The default export is a task of the emulated world: `yield*` where a program would wait. Each program is a process
 * with memory of its own; its buffers are pinned while the disk reads or writes them.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/mm';
import type { Task } from '@pincushion/sim';
import type { WorkloadContext } from '@pincushion/workloads';

const RECORD_BYTES = 8192;
const RECORDS = 50;

export default function* writeThenRead(world: WorkloadContext): Task {
  world.spawn('first', program(world, 'first', 0));
  world.spawn('second', program(world, 'second', RECORDS * RECORD_BYTES));
  yield* world.sleep(0);
  world.note(`two programs, ${RECORDS} records of ${RECORD_BYTES} bytes each`);
}

function* program(world: WorkloadContext, name: string, start: number): Task {
  const process = world.process(name);
  const fd = yield* process.open(`/dev/${world.disk}`);
  const mapped = process.mmap(RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const buffer = typeof mapped === 'number' ? mapped : yield* mapped;
  const record = new Uint8Array(RECORD_BYTES);

  for (let i = 0; i < RECORDS; i++) {
    const position = start + i * RECORD_BYTES;
    yield* store(process.write(buffer, record.fill(i + 1)));
    world.expect(
      (yield* process.pwrite(fd, buffer, RECORD_BYTES, position)) === RECORD_BYTES,
      'a whole record written',
    );
    if (i % 10 === 9) yield* process.fsync(fd);

    yield* store(process.write(buffer, record.fill(0)));
    world.expect((yield* process.pread(fd, buffer, RECORD_BYTES, position)) === RECORD_BYTES, 'a whole record read');
    yield* store(process.read(buffer, record));
    world.expect(
      record.every((byte) => byte === i + 1),
      `record ${i} of ${name} as it was written`,
    );
    yield* world.sleep(world.choose(20_000));
  }
  yield* process.close(fd);
}

/** A load or store is done at once unless a page has to be waited for. */
function* store(r: number | Task<number>): Task {
  if (typeof r !== 'number') yield* r;
}
