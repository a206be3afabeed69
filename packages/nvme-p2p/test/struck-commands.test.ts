/** What a fault plan does to the I/O commands of a controller, as a program sees it. */
import { driverBed } from './driver-bed';

const KIB = 1024;

function bedWithPlan(plan: string) {
  const bed = driverBed({ config: { ioTimeout: '10ms', adminTimeout: '50ms' } });
  const buffer = bed.buffer(64 * KIB);
  const put = (sector: number, byte: number, bytes = 4 * KIB): number => {
    bed.store(buffer, new Uint8Array(bytes).fill(byte));
    return bed.write(buffer, bytes, sector);
  };
  /** The first byte of each sector. */
  const look = (sector: number, sectors = 8): number[] => {
    bed.store(buffer, new Uint8Array(64 * KIB).fill(0xee));
    expect(bed.read(buffer, sectors * 512, sector)).toBe(sectors * 512);
    return Array.from(bed.load(buffer, sectors * 512).filter((_, i) => i % 512 === 0));
  };
  const flush = (): number => bed.run(bed.disk.sync());
  expect(put(0, 1, 32 * KIB)).toBe(32 * KIB);
  expect(flush()).toBe(0);
  bed.arm(plan);
  return Object.assign(bed, { put, look, flush, area: buffer });
}

const all = (byte: number, n = 8): number[] => new Array<number>(n).fill(byte);

describe('a controller under a fault plan', () => {
  it.each([
    ['io.read@2=EIO', [-61, 'read']],
    ['io.write@2=EIO', [-61, 'write']],
    ['io.write@2=ENOSPC', [-28, 'write']],
    ['io.read@2=EILSEQ', [-84, 'read']],
  ] as const)('fails the command that %s means, once, without another try', (plan, [errno, op]) => {
    const bed = bedWithPlan(plan);
    const run = (): number => (op === 'read' ? bed.read(bed.area, 4 * KIB, 0) : bed.put(0, 2));
    expect([run(), run(), run()]).toEqual([4 * KIB, errno, 4 * KIB]);
    expect(bed.world.faults.strikes).toBe(1);
    bed.close();
  });

  it('counts what touches a range of sectors, and nothing else, for a rule that has one', () => {
    const bed = bedWithPlan('io.read[12..15]@2=EIO');
    const read = (sector: number): number => bed.read(bed.area, 4 * KIB, sector);
    expect([read(0), read(16), read(8), read(0), read(10), read(8)]).toEqual([4096, 4096, 4096, 4096, -61, 4096]);
    bed.close();
  });

  it('fails a partial write after its first sectors, and is silent about a torn one', () => {
    const bed = bedWithPlan('io.write@1=partial:3,io.write@2=torn:5');
    expect(bed.put(0, 2)).toBe(-61);
    expect(bed.put(16, 3)).toBe(4 * KIB);
    expect(bed.look(0)).toEqual([...all(2, 3), ...all(1, 5)]);
    expect(bed.look(16)).toEqual([...all(3, 5), ...all(1, 3)]);
    bed.close();
  });

  it('lets a misdirected write change another place, and a misdirected read bring another place', () => {
    const bed = bedWithPlan('io.write@1=misdirected:16,io.read@3=misdirected:16,io.write@2=misdirected:-64');
    expect(bed.put(8, 2)).toBe(4 * KIB);
    expect([bed.look(8), bed.look(24)]).toEqual([all(1), all(2)]);
    expect(bed.look(8)).toEqual(all(2));
    expect(bed.put(0, 9)).toBe(4 * KIB); // Before the first sector: it goes nowhere.
    expect(bed.look(0)).toEqual(all(1));
    bed.close();
  });

  it('loses writes that were said to be done', () => {
    const bed = bedWithPlan('io.write=lost,io.zeroes=lost');
    expect(bed.put(0, 2)).toBe(4 * KIB);
    expect(bed.look(0)).toEqual(all(1));
    bed.close();
  });

  it('stalls a command until the driver aborts it, and forgets all when it is reset; the program sees a slow I/O', () => {
    const stalled = bedWithPlan('io.write=stall');
    expect(stalled.put(0, 2)).toBe(4 * KIB);
    expect([stalled.driver.aborts, stalled.driver.resets]).toEqual([1, 0]);
    expect(stalled.look(0)).toEqual(all(2));
    stalled.close();
    const reset = bedWithPlan('io.write=reset');
    expect(reset.put(0, 2)).toBe(4 * KIB);
    expect(reset.driver.resets).toBe(1);
    expect(reset.look(0)).toEqual(all(2));
    reset.close();
  });

  it('loses by a power cut only what was not flushed, in units of 4 KiB', () => {
    const bed = bedWithPlan('io.read@1=powercut');
    expect(bed.put(0, 2)).toBe(4 * KIB);
    expect(bed.flush()).toBe(0);
    for (let sector = 8; sector < 64; sector += 8) expect(bed.put(sector, 3)).toBe(4 * KIB);
    expect(bed.look(0)).toEqual(all(2));
    const units = Array.from({ length: 7 }, (_, i) => bed.look(8 + 8 * i));
    expect(units.every((unit) => new Set(unit).size === 1)).toBe(true);
    expect([...new Set(units.map(([byte]) => byte))].sort()).toEqual([1, 3]);
    bed.close();
  });

  it('loses what was flushed in vain when a flush is lost before a power cut', () => {
    const survivors = (plan: string): number[] => {
      const bed = bedWithPlan(plan);
      for (let sector = 0; sector < 64; sector += 8) bed.put(sector, 3);
      expect(bed.flush()).toBe(0);
      const bytes = Array.from({ length: 8 }, (_, i) => bed.look(8 * i)[0]);
      bed.close();
      return bytes;
    };
    expect(survivors('io.read@1=powercut')).toEqual(all(3));
    expect(survivors('io.flush=lost,io.read@1=powercut')).toContain(1);
  });
});
