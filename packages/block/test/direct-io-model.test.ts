/** Random direct I/O against a model of the disk, with bad buffers, failing bios and completions in any order; fixed seeds. */
import { BioOp, BlkStatus } from '@pincushion/block';
import { PAGE_SIZE } from '@pincushion/mm';
import { EIO } from '@pincushion/sim';
import { bench, pattern } from './machine-under-test';

const SECTORS = 512;
const BUFFER_PAGES = 24;

describe('direct I/O against a model', () => {
  it.each([1, 2, 3, 4])('loses no data, no pin, no bio and no answer (seed %d)', (seed) => {
    const { world, mm, disk, io, run, buffer, pinned, codes, done } = bench(
      { maxBytes: 20 * 512, maxPages: 3 },
      'full',
      SECTORS,
    );
    const choices = world.choices.stream('test:steps', seed);
    const model = new Uint8Array(SECTORS * 512);
    const good = buffer(BUFFER_PAGES);
    const holed = buffer(BUFFER_PAGES);
    run(mm.munmap(holed + 5 * PAGE_SIZE, PAGE_SIZE));
    let answers = 0;

    for (let round = 0; round < 150; round++) {
      const sector = choices.below(SECTORS);
      const bytes = 512 * (1 + choices.below(80));
      const address = good + 512 * choices.below(16);
      const op = choices.below(2) === 0 ? BioOp.read : BioOp.write;
      const failing = choices.below(6) === 0;
      const taken = Math.min(bytes, (SECTORS - sector) * 512);
      const data = pattern(bytes, round);
      if (op === BioOp.write) run(mm.write(address, data));
      expect(run(io.submit(op, address, bytes, sector, 0, round))).toBe(0);
      const bios = disk.held.splice(0);
      const victim = failing ? choices.below(bios.length) : -1;
      bios.forEach((bio, i) => {
        if (op === BioOp.write && i !== victim) {
          const at = (bio.sector - sector) * 512;
          model.set(data.subarray(at, at + bio.bytes), bio.sector * 512);
        }
      });
      const order = bios
        .map((bio, i) => ({ bio, i, key: choices.uint32() }))
        .sort((a, b) => a.key - b.key || a.i - b.i);
      for (const { bio, i } of order) disk.finish(bio, i === victim ? BlkStatus.ioerr : BlkStatus.ok);
      expect(done[answers++]).toBe(`${round}:${failing ? -EIO : taken}`);
      if (op === BioOp.read && !failing) {
        const seen = new Uint8Array(taken);
        run(mm.read(address, seen));
        expect(Buffer.compare(seen, model.subarray(sector * 512, sector * 512 + taken))).toBe(0);
      }

      // A buffer with a hole: short or refused, and nothing stays behind.
      const start = choices.below(BUFFER_PAGES - 8);
      const result = run(io.submit(BioOp.read, holed + start * PAGE_SIZE, 8 * PAGE_SIZE, 0, 0, 1_000 + round));
      for (const bio of disk.held.splice(0)) disk.finish(bio);
      if (result === 0) {
        const before = start <= 5 ? (5 - start) * PAGE_SIZE : 8 * PAGE_SIZE;
        expect(done[answers++]).toBe(`${1_000 + round}:${Math.min(before, 8 * PAGE_SIZE)}`);
      } else {
        expect(start).toBe(5);
      }
      expect([pinned(), io.inFlight, io.liveBios, disk.inFlight]).toEqual([0, 0, 0, 0]);
    }
    expect(Buffer.compare(disk.content, model)).toBe(0);
    expect(done).toHaveLength(answers);
    world.checkAtEnd();
    expect(codes()).toEqual([]);
  });
});
