/** What the block layer does for the NVMe driver, seen at the commands that reach the controller. */
import {
  BioOp,
  BioPool,
  Plug,
  REQ_FUA,
  REQ_POLLED,
  REQ_PREFLUSH,
  bioAddPage,
  bioPoll,
  submitBio,
} from '@pincushion/block';
import type { Bio } from '@pincushion/block';
import { PAGE_SIZE } from '@pincushion/driver';
import { NvmOpcode } from '../src/spec/opcodes';
import { pattern, same } from './bare-host';
import { driverBed } from './driver-bed';

const NAMES = new Map<number, string>(Object.entries(NvmOpcode).map(([name, opcode]) => [opcode, name]));

function blockBed(config: Record<string, unknown> = {}) {
  const bed = driverBed({ config });
  const { memory } = bed.machine;
  const disk = bed.machine.disk('nvme0n1');
  const pool = new BioPool(memory, 600);
  const commands: string[] = [];
  const ended: string[] = [];
  const forget = bed.world.trace.subscribe(
    (_point, queue, _cid, opcode) => {
      commands.push(`${NAMES.get(opcode) ?? opcode} on ${queue}`);
      return undefined;
    },
    ['nvme:setup'],
  );
  const bio = (op: BioOp, sector: number, frames: readonly number[], flags = 0): Bio => {
    const one = pool.alloc();
    Object.assign(one, { op, sector, flags, privateData: sector });
    for (const frame of frames) bioAddPage(one, frame, PAGE_SIZE, 0);
    one.endIo = (done) => {
      ended.push(`${done.privateData}:${done.status}`);
      pool.free(done);
      return undefined;
    };
    return one;
  };
  const frames = (n: number): number[] => Array.from({ length: n }, () => memory.allocFolio(0));
  /** The pages go back, and so does everything else that the test holds. */
  const drop = (all: readonly number[]): void => {
    for (const frame of all) memory.putFolio(frame);
    forget();
  };
  return Object.assign(bed, { memory, block: disk, pool, commands, ended, bio, frames, drop });
}

describe('the block layer over NVMe', () => {
  it('moves pages of the kernel: one long bio becomes the commands that the controller allows', () => {
    const bed = blockBed();
    const out = bed.frames(160);
    const back = bed.frames(160);
    const data = pattern(4, 160 * PAGE_SIZE);
    out.forEach((frame, i) => {
      bed.memory.bytes.write(frame, 0, data, i * PAGE_SIZE, PAGE_SIZE);
    });
    submitBio(bed.block, bed.bio(BioOp.write, 8, out));
    bed.world.run();
    const most = bed.block.limits.maxBytes / PAGE_SIZE;
    expect(bed.commands).toHaveLength(Math.ceil(160 / most));
    submitBio(bed.block, bed.bio(BioOp.read, 8, back));
    bed.world.run();
    expect(bed.ended).toEqual(['8:0', '8:0']);
    const read = new Uint8Array(160 * PAGE_SIZE);
    back.forEach((frame, i) => {
      bed.memory.bytes.read(frame, 0, read, i * PAGE_SIZE, PAGE_SIZE);
    });
    expect(same(read, data)).toBe(true);
    expect(bed.pool.live).toBe(0);
    bed.drop([...out, ...back]);
    bed.close();
  });

  it('merges neighbours under a plug into one command', () => {
    const bed = blockBed();
    const plug = new Plug(bed.world);
    const all = bed.frames(8);
    all.forEach((frame, i) => {
      submitBio(bed.block, bed.bio(BioOp.write, 8 * i, [frame]), plug);
    });
    plug.finish();
    bed.world.run();
    expect(bed.commands).toEqual(['write on 1']);
    expect(bed.ended).toHaveLength(8);
    bed.drop(all);
    bed.close();
  });

  it('flushes before data when asked, and leaves FUA to the controller', () => {
    const bed = blockBed();
    const all = bed.frames(1);
    submitBio(bed.block, bed.bio(BioOp.write, 0, all, REQ_PREFLUSH | REQ_FUA));
    bed.world.run();
    expect(bed.commands).toEqual(['flush on 1', 'write on 1']);
    expect(bed.ended).toEqual(['0:0']);
    bed.drop(all);
    bed.close();
  });

  it('has queue pairs without interrupts for polled bios, whose completions wait for who polls (poll_queues)', () => {
    const bed = blockBed({ pollQueues: 1 });
    const all = bed.frames(2);
    const polled = bed.bio(BioOp.write, 0, [all[0]], REQ_POLLED);
    submitBio(bed.block, polled);
    submitBio(bed.block, bed.bio(BioOp.write, 8, [all[1]]));
    bed.advance('1ms');
    expect([bed.commands, bed.ended]).toEqual([['write on 3', 'write on 1'], ['8:0']]);
    expect([bioPoll(polled), bed.ended, bioPoll(polled)]).toEqual([1, ['8:0', '0:0'], 0]);
    bed.drop(all);
    bed.close();
  });

  it('polled but never looked for is found by its timeout', () => {
    const bed = blockBed({ pollQueues: 1, ioTimeout: '10ms' });
    const all = bed.frames(1);
    submitBio(bed.block, bed.bio(BioOp.write, 0, all, REQ_POLLED));
    bed.advance('9ms');
    expect(bed.ended).toEqual([]);
    bed.advance('2ms');
    expect([bed.ended, bed.driver.aborts]).toEqual([['0:0'], 0]);
    bed.drop(all);
    bed.close();
  });

  it('sends small neighbours as one command while the queue is full', () => {
    const bed = blockBed({ queueDepth: 2 });
    const buffer = bed.buffer(16 * 4096);
    bed.store(buffer, pattern(2, 16 * 4096));
    for (let i = 0; i < 16; i++) expect(bed.submit(BioOp.write, buffer + i * 4096, 4096, 8 * i, 0, i)).toBe(0);
    bed.world.run();
    expect(bed.results.size).toBe(16);
    expect(bed.commands).toHaveLength(2);
    const to = bed.buffer(16 * 4096);
    expect(bed.read(to, 16 * 4096, 0)).toBe(16 * 4096);
    expect(same(bed.load(to, 16 * 4096), pattern(2, 16 * 4096))).toBe(true);
    bed.drop([]);
    bed.close();
  });
});
