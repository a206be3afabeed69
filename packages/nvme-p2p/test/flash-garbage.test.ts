import { FlashGeometry } from '../src/device/timing/flash/geometry';
import { FlashLines, HOST_STREAM } from '../src/device/timing/flash/lines';
import { NOWHERE } from '../src/device/timing/flash/place-map';
import { TimingSettings } from '../src/device/timing/timing-settings';
import type { FlashSettings } from '../src/device/timing/timing-settings';
import { FlashDrive, percentile } from './flash-drive';

const KIB = 1024;
const MIB = 1024 * KIB;
const UNITS = (256 * MIB) / 4096;
/** The 970-PRO class with lines of 8 MiB, so that a drive of 256 MiB has 32 of them, and 16 to spare. */
const SMALL_LINES = { preset: '970-pro', pagesPerBlock: 16, eraseNs: 1_000_000, sparePercent: 50 };
const BYTES = [0, 256 * MIB];

/** Numbers that look drawn, the same each time. */
function drawn(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
}

/** Writes and reads of random blocks at a rate that the drive keeps up with; times of the reads and of the writes. */
function steadyMix(drive: FlashDrive, count: number): { reads: number[]; writes: number[] } {
  const next = drawn(7);
  const slots: { slot: number; isRead: boolean }[] = [];
  for (let i = 0; i < count; i++) {
    const isRead = i % 2 === 0;
    const byte = next(UNITS) * 4096;
    slots.push({ slot: isRead ? drive.read(byte, 4096) : drive.write(byte, 4096), isRead });
    drive.world.run({ untilNs: drive.world.now + 20_000 });
  }
  drive.settle();
  const times = (kind: boolean): number[] =>
    slots.filter(({ isRead }) => isRead === kind).map(({ slot }) => drive.tookNs(slot));
  return { reads: times(true), writes: times(false) };
}

describe('garbage collection', () => {
  it('shows only in the tail: the median of reads and writes is as on a fresh drive, the last tenth of a percent is not', () => {
    const fresh = steadyMix(new FlashDrive(SMALL_LINES, BYTES), 60_000);
    const worn = new FlashDrive({ ...SMALL_LINES, preconditioned: true }, BYTES);
    const aged = steadyMix(worn, 60_000);
    expect(worn.flash.counts.linesCollected).toBeGreaterThan(10);
    for (const kind of ['reads', 'writes'] as const) {
      const middle = percentile(aged[kind], 0.5) / percentile(fresh[kind], 0.5);
      expect(middle).toBeGreaterThan(0.9);
      expect(middle).toBeLessThan(1.1);
    }
    expect(percentile(aged.reads, 0.999)).toBeGreaterThan(3 * percentile(fresh.reads, 0.999));
  });

  it('throttles a host that writes without a pause to what collecting brings', () => {
    const next = drawn(3);
    const drive = new FlashDrive({ ...SMALL_LINES, preconditioned: true }, BYTES);
    const random = (slot: number): number => drive.write(next(UNITS) * 4096, 4096, false, 1, slot);
    drive.closedLoop(64, 3 * UNITS, random);
    const before = drive.flash.counts;
    const { ns, each } = drive.closedLoop(64, UNITS, random);
    const { host, moved, linesFree } = drive.flash.counts;
    const amplification = (host - before.host + moved - before.moved) / (host - before.host);
    expect(amplification).toBeGreaterThan(1.5);
    expect(amplification).toBeLessThan(5);
    // The dies program host data and moved data alike; reading and erasing come on top.
    const writtenGBps = (UNITS * 4096) / ns;
    expect(writtenGBps).toBeLessThan(2.84 / amplification);
    expect(writtenGBps).toBeGreaterThan(1.4 / amplification);
    expect(linesFree).toBeGreaterThan(0);
    // Credits come row by row: nobody waits until a whole line has been collected.
    expect(percentile(each, 1)).toBeLessThan(5_000_000);
  });

  it('costs nothing where the host writes in order: whole lines become invalid', () => {
    const drive = new FlashDrive({ ...SMALL_LINES, preconditioned: true }, BYTES);
    drive.closedLoop(16, 3 * 2048, (slot, i) => drive.write((i % 2048) * 128 * KIB, 128 * KIB, false, 1, slot));
    drive.settle();
    expect(drive.flash.counts.linesCollected).toBeGreaterThan(60);
    expect(drive.flash.counts.moved).toBe(0);
  });

  it('has less to move when the host has said what it no longer needs', () => {
    const amplification = (deallocates: boolean): number => {
      const next = drawn(5);
      const drive = new FlashDrive({ ...SMALL_LINES, preconditioned: true }, BYTES);
      if (deallocates) drive.timing.deallocate(1, 128 * MIB, 128 * MIB);
      drive.closedLoop(64, 2 * UNITS, (slot) => drive.write(next(UNITS / 2) * 4096, 4096, false, 1, slot));
      const { host, moved } = drive.flash.counts;
      return (host + moved) / host;
    };
    expect(amplification(true)).toBeLessThan(amplification(false));
  });

  it('leaves a line alone while a program of it is under way', () => {
    const settings = TimingSettings.parse({ preset: '970-pro', channels: 1, diesPerChannel: 1, pagesPerBlock: 2 });
    const lines = new FlashLines(new FlashGeometry(settings as FlashSettings, MIB), false);
    // Two shots of eight units are a line; the third makes half of it invalid.
    for (let i = 0; i < 24; i++) lines.append(HOST_STREAM, i % 16);
    expect(lines.collect()).toBe(NOWHERE);
    lines.shotProgrammed(0, 0);
    expect(lines.collect()).toBe(NOWHERE);
    lines.shotProgrammed(0, 0);
    expect(lines.collect()).toBe(0);
  });

  it('keeps every unit exactly once, whatever is written, deallocated, flushed or reset meanwhile', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const next = drawn(seed);
      const preset = ['970-pro', 'zn540', 'mqsim-default', 'femu-default'][seed % 4];
      const settings = {
        preset,
        pagesPerBlock: 3 * (1 + next(3)),
        gcFreeLines: 5 + next(4),
        preconditioned: seed % 3 === 0,
      };
      const bytes = (8 + next(40)) * MIB;
      const units = bytes / 4096;
      const drive = new FlashDrive(settings, [0, bytes]);
      const held = new Set<number>();
      if (settings.preconditioned) for (let unit = 0; unit < units; unit++) held.add(unit);
      const slots: number[] = [];
      for (let i = 0; i < 3000; i++) {
        const count = 1 + next(next(8) === 0 ? 64 : 4);
        // Half of the drives are written in few places: lines are invalid before all of them is programmed.
        const first = next(seed % 2 === 0 ? 64 : units - count);
        const what = next(40);
        if (what === 0) {
          slots.push(drive.flush());
        } else if (what === 1) {
          drive.settle();
          drive.timing.deallocate(1, first * 4096, count * 4096);
          for (let unit = first; unit < first + count; unit++) held.delete(unit);
        } else if (what === 2 && next(10) === 0) {
          drive.settle();
          drive.write(0, 4096, next(2) === 0);
          drive.read(4096, 64 * KIB);
          held.add(0);
          drive.world.run({ events: next(12) });
          drive.timing.reset();
        } else if (what < 8) {
          slots.push(drive.read(first * 4096, count * 4096));
        } else {
          slots.push(drive.write(first * 4096, count * 4096, what < 12));
          for (let unit = first; unit < first + count; unit++) held.add(unit);
        }
        if (next(4) === 0) drive.world.run({ events: next(60) });
      }
      // A write that the last reset dropped is not there.
      drive.write(0, 4096);
      drive.settle();
      for (const slot of slots) drive.tookNs(slot);
      expect(drive.flash.counts.validUnits).toBe(held.size);
      drive.flash.checkLines();
    }
  });
});

describe('a reset', () => {
  it('ends every command once and forgets the work in progress', () => {
    const drive = new FlashDrive({ preset: '970-pro', writeBufferBytes: 64 * KIB });
    for (let i = 0; i < 40; i++) drive.write(i * 32 * KIB, 32 * KIB, i % 3 === 0);
    for (let i = 0; i < 40; i++) drive.read(i * 4096, 128 * KIB);
    drive.world.run({ untilNs: 50_000 });
    const flush = drive.flush();
    drive.world.run({ untilNs: 60_000 });
    drive.timing.reset();
    expect(drive.overNs[flush]).toBe(60_000);
    const resetNs = drive.world.now;
    const late = drive.read(512 * MIB, 4096);
    drive.settle();
    expect(drive.overNs.filter((ns) => ns < 0)).toEqual([]);
    expect(drive.overNs[late] - resetNs).toBe(21_500 + 29_800 + 5_120 + 1_220);
  });
});

describe('namespaces', () => {
  it('lie behind one another on the flash', () => {
    const drive = new FlashDrive({ preset: '970-pro' }, [0, 32 * KIB, 0, 64 * MIB]);
    // Unit 8 of the drive: die 1.
    const both = [drive.read(0, 4096, 1), drive.read(0, 4096, 3)];
    drive.settle();
    expect(both.map((slot) => drive.tookNs(slot))).toEqual([57_640, 58_860]);
  });

  it('may grow beyond the flash of power-on, which is then used from its beginning again', () => {
    const drive = new FlashDrive({ preset: '970-pro', pagesPerBlock: 2 }, [0, MIB]);
    drive.write(MIB - 4096, 64 * KIB);
    drive.read(5 * MIB, 128 * KIB);
    drive.settle();
    drive.timing.deallocate(1, 0, 8 * MIB);
    drive.flash.checkLines();
    expect(drive.flash.counts).toMatchObject({ host: 16, validUnits: 0 });
  });
});
