/** Direct transfers of a program on a disk that treats one request badly. */
import { MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/mm';
import type { FileDirectIo } from '../src/index';
import type { Fault } from './faulty-disk';
import { openedIn } from './found-files';
import { FaultyRun, newDisk } from './io-faults';

export const FILE_BYTES = 256 << 10;
/** Position and bytes of each transfer; every second is a write. The last one makes the file longer. */
export const TRANSFERS = [
  [0, 4096],
  [4096, 512],
  [8192, 96 << 10],
  [128 << 10, 8192],
  [140 << 10, 4096],
  [148 << 10, 70_144],
  [512, 1024],
  [FILE_BYTES - 4096, 16_384],
] as const;

/**
 * Direct transfers of a program, one request of which is treated badly: requests, whose it was, what `onDone` was told, and the
 * size of the file.
 */
export function directTransfers(fault: Fault, at: number) {
  const options = { seed: 1, operations: 0, blockBytes: 4096, blocks: 512 };
  const run = new FaultyRun(options, newDisk(options));
  const { world, memory, disk, workload } = run;
  const file = openedIn(world, workload.fs.create('/direct'));
  if (typeof file === 'number') throw new Error(`the file could not be made: ${file}`);
  const content = new Uint8Array(FILE_BYTES).fill(3);
  expect(world.settle(file.write(0, content, 0, FILE_BYTES))).toBe(FILE_BYTES);
  expect([world.settle(file.fsync()), world.settle(file.fadviseDontneed())]).toEqual([0, 0]);
  const mm = memory.createMm('prog');
  const buffer = world.settle(mm.mmap(FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE));
  const io = file.direct?.(mm, 'prog') as FileDirectIo;
  const ended: [number, number][] = [];
  io.onDone = (token, result) => {
    ended.push([token, result]);
    return undefined;
  };
  disk.requests = 0;
  let struck = -1;
  let submitting = -1;
  disk.faultOf = (request) => {
    if (request !== at) return 'none';
    struck = submitting;
    return fault;
  };
  for (const [token, [position, bytes]] of TRANSFERS.entries()) {
    submitting = token;
    expect(world.settle(io.submit(token % 2 === 1, buffer, bytes, position, 0, token))).toBe(0);
  }
  world.run();
  const { requests } = disk;
  const { size } = file;
  expect([io.inFlight, memory.ledger.counters.pinnedNow]).toEqual([0, 0]);
  world.settle(mm.exit());
  file.close();
  expect(run.end()).toBe(0);
  return { requests, struck, ended, size };
}
