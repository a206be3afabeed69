import { driverBed } from './driver-bed';

/** A machine with a drive of the 970-PRO class. */
function flashBed(latency: Record<string, unknown> = {}, config: Record<string, unknown> = {}) {
  return driverBed({ model: { latency: { preset: '970-pro', ...latency } }, config, cpus: 1 });
}

function tookNs(bed: ReturnType<typeof flashBed>, act: () => void): number {
  const beginNs = bed.world.now;
  act();
  return bed.world.now - beginNs;
}

const READ_NS = 21_500 + 29_800 + 5_120 + 1_220;
const WRITE_NS = 4_000 + 460 + 1_220;
const PROGRAM_NS = 40_960 + 185_000;

describe('a machine with a flash drive', () => {
  it('reads and writes in the time of the drive, with the right content', () => {
    const bed = flashBed();
    const buffer = bed.buffer(4096);
    const data = Uint8Array.from({ length: 4096 }, (_, i) => i);
    bed.store(buffer, data);
    expect(tookNs(bed, () => bed.write(buffer, 4096, 8))).toBe(WRITE_NS);
    bed.store(buffer, new Uint8Array(4096));
    // Still in the write buffer: no flash is read.
    expect(tookNs(bed, () => bed.read(buffer, 4096, 8))).toBe(21_500 + 1_220);
    expect(bed.load(buffer, 4096)).toEqual(data);
    expect(tookNs(bed, () => bed.run(bed.disk.sync()))).toBe(4_000 + PROGRAM_NS);
    expect(tookNs(bed, () => bed.read(buffer, 4096, 8))).toBe(READ_NS);
    expect(bed.load(buffer, 4096)).toEqual(data);
    bed.close();
  });

  it('has every write on the flash before it is over where there is no write buffer', () => {
    const bed = flashBed({ writeBufferBytes: 0 });
    const buffer = bed.buffer(4096);
    bed.store(buffer, new Uint8Array(4096));
    expect(tookNs(bed, () => bed.write(buffer, 4096, 8))).toBe(WRITE_NS + PROGRAM_NS);
    bed.close();
  });

  it('loses no command when the controller is reset under load', () => {
    const bed = flashBed({}, { ioTimeout: '10ms', adminTimeout: '50ms' });
    const buffer = bed.buffer(64 * 4096);
    bed.store(buffer, new Uint8Array(64 * 4096).fill(3));
    bed.hardware.faults.loseCompletions = 1;
    for (let i = 0; i < 32; i++) expect(bed.submit(i % 2, buffer + i * 4096, 4096, i * 8, 0, i)).toBe(0);
    // The first is late, is aborted in vain, and is late again; meanwhile others have come, and are inside at the reset.
    bed.advance('19990us');
    for (let i = 32; i < 64; i++) expect(bed.submit(i % 2, buffer + i * 4096, 4096, i * 8, 0, i)).toBe(0);
    bed.world.run();
    expect(bed.driver.resets).toBe(1);
    expect([...bed.results.values()]).toEqual(Array.from({ length: 64 }, () => [4096]));
    bed.close();
  });
});
