import { FlashDrive } from './flash-drive';

const KIB = 1024;
const MIB = 1024 * KIB;
/** A shot of the 970-PRO class is 32 KiB; sixteen of them, one on each die, are a stripe. */
const SHOT = 32 * KIB;
const STRIPE = 16 * SHOT;
/** On die 0, the fast page type. */
const FAST = 0;
/** On die 0, the slow page type: the next word line. */
const SLOW = STRIPE;
/** Dies 0 and 8 are on one channel, die 1 is on another. */
const SAME_CHANNEL = 8 * SHOT;

/** 4 KiB of the 970-PRO class: firmware, array, channel, link. */
const READ_FAST = 21_500 + 29_800 + 5_120 + 1_220;
const READ_SLOW = READ_FAST + 12_000;

/** Blocks of 4 KiB in a scattered order that has every one of `blocks` (a power of two) once. */
const scattered = (i: number, blocks: number): number => (Math.imul(i, 0x9e3779b1) >>> 0) % blocks;

function within(actual: number, expected: number, percent: number): void {
  expect(Math.abs(actual - expected) / expected).toBeLessThanOrEqual(percent / 100);
}

const drive970 = (settings: Record<string, unknown> = {}, bytes = 64 * 2 ** 30): FlashDrive =>
  new FlashDrive({ preset: '970-pro', ...settings }, [0, bytes]);

describe('the 970-PRO class against hand computations', () => {
  it('reads 4 KiB at depth 1 in 63.6 µs: firmware 21.5, array 35.8 on average, channel 5.1, link 1.2', () => {
    const drive = drive970();
    expect(drive.alone(() => drive.read(FAST, 4096))).toBe(READ_FAST);
    expect(drive.alone(() => drive.read(SLOW, 4096))).toBe(READ_SLOW);
    const { ns } = drive.closedLoop(1, 4096, (slot, i) => drive.read(scattered(i, 2 ** 24) * 4096, 4096, 1, slot));
    within(ns / 4096, 63_600, 1);
  });

  it('ends at 447,000 reads a second: sixteen dies of 35.8 µs', () => {
    const drive = drive970();
    const count = 40_000;
    // One 4 KiB block of each shot in turn: all dies have the same to do.
    const { ns } = drive.closedLoop(256, count, (slot, i) => drive.read(i * SHOT, 4096, 1, slot));
    within(count / (ns / 1e9), 447_000, 1);
  });

  it('reads in sequence at the 3.36 GB/s of its link', () => {
    const drive = drive970();
    const { ns } = drive.closedLoop(32, 4000, (slot, i) => drive.read(i * 128 * KIB, 128 * KIB, 1, slot));
    within((4000 * 128 * KIB) / ns, 3.36, 1);
  });

  it('writes at the 2.83 GB/s of its dies: sixteen shots of 32 KiB in 185 µs', () => {
    const drive = drive970();
    const { ns } = drive.closedLoop(32, 8000, (slot, i) => drive.write(i * 128 * KIB, 128 * KIB, false, 1, slot));
    within((8000 * 128 * KIB) / ns, 2.83, 1);
  });
});

describe('the other classes', () => {
  it('xpoint: 10 µs for each, 550,000 a second, 2.4 GB/s', () => {
    const drive = new FlashDrive({ preset: 'xpoint' });
    expect(drive.alone(() => drive.read(0, 4096))).toBe(10_000);
    expect(drive.alone(() => drive.write(MIB, 4096, true))).toBe(10_000);
    expect(drive.alone(() => drive.flush())).toBe(10_000);
    const small = drive.closedLoop(32, 50_000, (slot, i) => drive.read(scattered(i, 2 ** 24) * 4096, 4096, 1, slot));
    within(50_000 / (small.ns / 1e9), 550_000, 1);
    const large = drive.closedLoop(32, 4000, (slot, i) => drive.read(i * 128 * KIB, 128 * KIB, 1, slot));
    within((4000 * 128 * KIB) / large.ns, 2.4, 1);
  });

  it('zn540: 50 µs for any page, shots of 96 KiB in 561 µs on 32 dies: 5.6 GB/s, so the link of 3.05 GB/s limits writes', () => {
    const drive = new FlashDrive({ preset: 'zn540' });
    expect(drive.alone(() => drive.read(0, 4096))).toBe(20_000 + 50_000 + 9_103 + 1_343);
    const { ns } = drive.closedLoop(32, 8000, (slot, i) => drive.write(i * 128 * KIB, 128 * KIB, false, 1, slot));
    within((8000 * 128 * KIB) / ns, 3.05, 1);
  });

  it('femu-default: 40 µs to read, 200 µs to write, with no buffer, channel or link', () => {
    const drive = new FlashDrive({ preset: 'femu-default' });
    expect(drive.alone(() => drive.read(0, 4096))).toBe(40_000);
    expect(drive.alone(() => drive.write(0, 4096))).toBe(200_000);
    expect(drive.alone(() => drive.write(0, 256 * KIB))).toBe(200_000);
    expect(drive.alone(() => drive.write(0, 260 * KIB))).toBe(400_000);
  });

  it('mqsim-default: 75 µs for a page, the die busy until its data have left; two planes in one reading', () => {
    const drive = new FlashDrive({ preset: 'mqsim-default' });
    const one = 500 + 75_000 + 13_654 + 1_024;
    expect(drive.alone(() => drive.read(0, 4096))).toBe(one);
    // 16 KiB: both planes of a die.
    expect(drive.alone(() => drive.read(0, 16 * KIB))).toBe(500 + 75_000 + 54_614 + 4_096);
    drive.settle();
    const slots = [drive.read(0, 4096), drive.read(4096, 4096)];
    drive.settle();
    expect(drive.tookNs(slots[1]) - drive.tookNs(slots[0])).toBe(75_000 + 13_654);
  });
});

describe('random reads at depth 32', () => {
  it('take 118.7 µs on average with 64 dies of 75.2 µs on 8 channels, as four queues do; booked ahead it would be 159', () => {
    const drive = new FlashDrive(
      {
        preset: 'mqsim-default',
        firmwareReadSmallNs: 516,
        readLsbNs: 75_200,
        readMsbNs: 75_200,
        channelMBps: 333,
        linkMBps: 3_923,
      },
      [0, 16 * 2 ** 30],
    );
    let state = 1;
    const { each } = drive.closedLoop(32, 60_000, (slot) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      drive.read(((state >>> 8) % 2 ** 22) * 4096, 4096, 1, slot);
    });
    within(each.reduce((sum, ns) => sum + ns, 0) / each.length, 118_669, 1);
  });
});

describe('dies and channels', () => {
  it('eight reads of one plane wait for its array alone: the channel is theirs only while their data move', () => {
    const drive = drive970();
    const slots = Array.from({ length: 8 }, (_, i) => drive.read(FAST + i * 4096, 4096));
    drive.settle();
    expect(slots.map((slot) => drive.tookNs(slot))).toEqual(slots.map((_, i) => READ_FAST + i * 29_800));
  });

  it('a read of another die of the channel passes eight that wait for one plane', () => {
    const drive = drive970();
    for (let i = 0; i < 8; i++) drive.read(FAST + i * 4096, 4096);
    const other = drive.read(SAME_CHANNEL, 4096);
    drive.settle();
    // Behind the data of one of the eight at most.
    expect(drive.tookNs(other)).toBe(READ_FAST + 5_120);
  });

  it('eight reads of eight dies of one channel read side by side, and send one after another', () => {
    const drive = drive970({ channels: 1, diesPerChannel: 8 });
    const slots = Array.from({ length: 8 }, (_, i) => drive.read(i * SHOT, 4096));
    drive.settle();
    expect(slots.map((slot) => drive.tookNs(slot))).toEqual(slots.map((_, i) => READ_FAST + i * 5_120));
  });

  it('eight reads of eight channels wait for the link alone', () => {
    const drive = drive970();
    const slots = Array.from({ length: 8 }, (_, i) => drive.read(i * SHOT, 4096));
    drive.settle();
    expect(slots.map((slot) => drive.tookNs(slot))).toEqual(slots.map((_, i) => READ_FAST + i * 1_220));
  });

  it('without a cache register the die is busy until its data have left', () => {
    const drive = drive970({ cacheReads: false });
    const slots = [drive.read(FAST, 4096), drive.read(FAST + 4096, 4096)];
    drive.settle();
    expect(drive.tookNs(slots[1])).toBe(READ_FAST + 29_800 + 5_120);
  });

  it('with a slow channel the cache register holds the array up, not more', () => {
    const drive = drive970({ channelMBps: 40 }); // 102.4 µs for 4 KiB
    const slots = Array.from({ length: 3 }, (_, i) => drive.read(FAST + i * 4096, 4096));
    drive.settle();
    expect(drive.tookNs(slots[2]) - drive.tookNs(slots[1])).toBe(102_400);
  });

  it('one reading serves all of a command that lies in one page', () => {
    const drive = drive970();
    expect(drive.alone(() => drive.read(FAST, SHOT))).toBe(30_500 + 29_800 + 40_960 + 9_753);
  });

  it('a read behind a program of its die waits for it', () => {
    const drive = drive970();
    drive.write(0, SHOT);
    drive.world.run({ untilNs: drive.world.now + 100_000 });
    const slot = drive.read(64 * MIB, 4096); // Never written: a whole number of stripes on, so on die 0 as well.
    const other = drive.read(64 * MIB + SHOT, 4096);
    drive.settle();
    expect(drive.tookNs(other)).toBeLessThan(100_000);
    expect(drive.tookNs(slot)).toBeGreaterThan(130_000);
  });
});

describe('the write buffer', () => {
  it('acknowledges after firmware and link, long before the flash has it', () => {
    const drive = drive970();
    expect(drive.alone(() => drive.write(0, 4096))).toBe(4_000 + 460 + 1_220);
    expect(drive.alone(() => drive.write(0, 128 * KIB))).toBe(4_000 + 32 * 460 + 39_010);
  });

  it('when it is full, writes come at the rate at which the flash programs', () => {
    const drive = drive970();
    const { each } = drive.closedLoop(64, 20_000, (slot, i) => drive.write(i * 4096, 4096, false, 1, slot));
    expect(each[100]).toBeLessThan(200_000);
    const late = each.slice(10_000);
    // 64 in flight at 2.83 GB/s: 92.5 µs each.
    within(late.reduce((sum, ns) => sum + ns, 0) / late.length, (64 * 4096) / 2.834, 3);
  });

  it('takes a write that is longer than the buffer', () => {
    const drive = drive970({ writeBufferBytes: 64 * KIB });
    const slots = [drive.write(0, 512 * KIB), drive.write(512 * KIB, 512 * KIB), drive.write(MIB, 4096)];
    drive.settle();
    expect(drive.overNs[slots[0]]).toBeLessThan(drive.overNs[slots[1]]);
    expect(drive.overNs[slots[1]]).toBeLessThan(drive.overNs[slots[2]]);
  });

  it('a durable write (FUA) is over when its program is', () => {
    const drive = drive970();
    const programmed = 4_000 + 460 + 1_220 + 40_960 + 185_000;
    expect(drive.alone(() => drive.write(0, 4096, true))).toBe(programmed);
    expect(drive.flash.counts).toMatchObject({ host: 1, padding: 7 });
  });

  it('a flush waits for the last program of what was written before it, and no longer', () => {
    const drive = drive970();
    expect(drive.alone(() => drive.flush())).toBe(4_000);
    drive.closedLoop(16, 16, (slot, i) => drive.write(i * SHOT, SHOT, false, 1, slot));
    const begunNs = drive.world.now;
    const first = drive.flush();
    drive.world.run({ untilNs: begunNs + 20_000 });
    // Written after the flush: another shot, behind the first on its die.
    const late = drive.write(STRIPE + 15 * SHOT, SHOT);
    drive.world.run({ until: () => drive.overNs[late] > 0 });
    const second = drive.flush();
    drive.settle();
    expect(drive.tookNs(first)).toBeGreaterThan(185_000);
    expect(drive.tookNs(first)).toBeLessThan(185_000 + 41_000 + 20_000);
    expect(drive.overNs[second]).toBeGreaterThan(drive.overNs[first]);
    expect(drive.tookNs(second)).toBeGreaterThan(185_000);
  });

  it('a flush of a begun shot fills it up', () => {
    const drive = drive970();
    drive.alone(() => drive.write(0, 4096));
    expect(drive.flash.counts).toMatchObject({ host: 1, padding: 0 });
    expect(drive.alone(() => drive.flush())).toBe(4_000 + 40_960 + 185_000);
    expect(drive.flash.counts).toMatchObject({ host: 1, padding: 7 });
  });

  it('many flushes end in their order', () => {
    const drive = drive970();
    const slots: number[] = [];
    for (let i = 0; i < 40; i++) {
      drive.write(i * 4096, 4096);
      drive.world.run({ untilNs: drive.world.now + 10_000 });
      slots.push(drive.flush());
    }
    drive.settle();
    const ends = slots.map((slot) => drive.overNs[slot]);
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
  });

  it('serves what it still has, without the flash', () => {
    const drive = drive970();
    drive.write(0, 4096);
    drive.settle();
    expect(drive.alone(() => drive.read(0, 4096))).toBe(21_500 + 1_220);
    drive.alone(() => drive.flush());
    expect(drive.alone(() => drive.read(0, 4096))).toBe(READ_FAST);
  });
});
