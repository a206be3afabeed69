/**
 * The workloads of the crash tests, on a disk that treats one request badly: who hears of it, how often, and what is left.
 * A program's operations follow each other, so a request belongs to the operation that runs.
 */
import {
  MAP_ANONYMOUS,
  MAP_POPULATE,
  MAP_PRIVATE,
  Memory,
  PROT_READ,
  PROT_WRITE,
  assertMemorySane,
} from '@pincushion/mm';
import { EIO, EROFS, World } from '@pincushion/sim';
import { DiskBlockStore, checkFileSystem, mountFileSystem, newFileSystem } from '../src/index';
import type { FileDirectIo } from '../src/index';
import { FaultyDisk } from './faulty-disk';
import type { Fault } from './faulty-disk';
import { FileWorkload, openedIn } from './file-workload';
import type { WorkloadOptions } from './file-workload';

/** What becomes an error of somebody; and what nobody must notice. */
export const ERRORS = ['error', 'lost', 'part, then error'] as const;

/** After a fault so many operations follow. */
const AFTERWARDS = 20;

function onFaultyDisk(options: WorkloadOptions) {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 32 << 20, ledger: 'counts' });
  const disk = new FaultyDisk(memory, new Uint8Array(options.blocks * options.blockBytes));
  const store = new DiskBlockStore(memory, disk, options.blockBytes);
  const fs = world.complete(newFileSystem(memory, store));
  disk.requests = 0;
  return { world, memory, disk, store, fs, workload: new FileWorkload(world, fs, options) };
}

/** Unmounts, and looks at what is left on disk and in memory. What umount gave. */
function endOf({ world, memory, disk, store, fs }: ReturnType<typeof onFaultyDisk>): number {
  const unmounted = world.settle(fs.unmount());
  disk.faultOf = () => 'none';
  const { fs: again } = world.complete(mountFileSystem(memory, store));
  expect(world.settle(again.unmount())).toBe(0);
  expect(world.complete(checkFileSystem(memory, store))).toEqual([]);
  expect([disk.inFlight, disk.queue.inFlight, disk.queue.waiting]).toEqual([0, 0, 0]);
  assertMemorySane(memory);
  world.run();
  world.checkAtEnd();
  expect(world.findings.all).toEqual([]);
  return unmounted;
}

/** A workload without faults: what its operations gave, and the operation of each request. */
export function undisturbed(options: WorkloadOptions) {
  const machine = onFaultyDisk(options);
  const { disk, workload } = machine;
  const operationOf: number[] = [];
  for (let operation = 1; operation <= options.operations; operation++) {
    workload.run(operation);
    while (operationOf.length < disk.requests) operationOf.push(operation);
  }
  expect(workload.wrongFiles()).toEqual([]);
  expect(endOf(machine)).toBe(0);
  return { results: workload.results, operationOf };
}

type Undisturbed = ReturnType<typeof undisturbed>;

/** The same with every request treated in a way that nobody must notice. */
export function disturbEach(options: WorkloadOptions, { results }: Undisturbed, fault: Fault): void {
  const machine = onFaultyDisk(options);
  const { disk, workload } = machine;
  const struck = new Set<number>();
  disk.faultOf = (request) => {
    if (struck.has(request - 1)) return 'none'; // what is sent again
    struck.add(request);
    return fault;
  };
  workload.run();
  expect(workload.results).toEqual(results);
  expect(workload.wrongFiles()).toEqual([]);
  expect(endOf(machine)).toBe(0);
}

/** The same with a fault at one request: what is wrong with the errors that came, in words. */
export function disturb(
  options: WorkloadOptions,
  { results, operationOf }: Undisturbed,
  at: number,
  fault: Fault,
): string {
  const machine = onFaultyDisk(options);
  const { disk, workload } = machine;
  const operation = operationOf[at];
  disk.faultOf = (request) => (request === at ? fault : 'none');
  workload.run(Math.min(options.operations, operation + AFTERWARDS));
  const wrong = complaint(workload, results, operation);
  const unmounted = endOf(machine);
  if (wrong !== '') return `${fault} at request ${at}, operation ${operation}: ${wrong}`;
  return unmounted === 0 ? '' : `${fault} at request ${at}: umount gives ${unmounted}`;
}

/**
 * Who asked is told once: -EIO, or -EROFS when what he wanted to change cannot be committed any more. A file whose content was
 * lost tells it by its own fsync, too, after a sync of everything. A deleted file ends behind everybody's back: what its commit
 * meets is told to the next who needs the journal. Of a file system that has become read-only nobody can sync
 * what is not on disk.
 */
function complaint({ results, wholeSyncs, fs }: FileWorkload, usual: number[][], operation: number): string {
  const before = results.slice(0, operation);
  if (!before.every((ofOne, i) => ofOne.join() === usual[i].join()))
    return 'operations before the fault went otherwise';
  const told = results[operation].filter(isError).length;
  const later = results.slice(operation + 1).flat();
  if (told === 0 && fs.isReadOnly && later.some(isError)) return '';
  if (told !== 1) return `${told} errors for who asked: ${results[operation].join(', ')}`;
  if (fs.isReadOnly) return '';
  const more = later.filter(isError).length;
  return more <= (wholeSyncs.includes(operation) ? 1 : 0) ? '' : `${more} errors for others: ${later.join(', ')}`;
}

function isError(result: number): boolean {
  return result === -EIO || result === -EROFS;
}

// ---- direct I/O ----------------------------------------------------------------------------------------------------------

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
  const machine = onFaultyDisk({ seed: 1, operations: 0, blockBytes: 4096, blocks: 512 });
  const { world, memory, disk, fs } = machine;
  const file = openedIn(world, fs.create('/direct'));
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
  expect(endOf(machine)).toBe(0);
  return { requests, struck, ended, size };
}
