/**
 * `flash.events.qd32`: the flash timing model alone, 32 random reads of 4 KiB in flight over 16 GiB that were written once.
 * The same work as `ssd.events.qd32` of bench/reference/c_reference.c, with the same numbers: eight channels of eight dies,
 * a die busy until its data have left, and an event each for arrival, array, channel and link; here with the map from
 * units to places, page types, and events that a world runs.
 */
import { commandTiming, TimingSettings } from '@pincushion/nvme-p2p';
import type { CommandTiming } from '@pincushion/nvme-p2p';
import { Context, PincushionError, World } from '@pincushion/sim';
import type { Benchmark } from './benchmark';
import { secondsOf } from './benchmark';

const DEPTH = 32;
const BLOCK_BYTES = 4096;
/** Blocks of 4 KiB, a power of two. */
const BLOCKS = 1 << 22;
const PAGE_BYTES = 16_384;
const PAGE_BLOCKS = PAGE_BYTES / BLOCK_BYTES;
const WRITE_BYTES = 128 * 1024;
const WRITES = (BLOCKS * BLOCK_BYTES) / WRITE_BYTES;
const READS = 1_500_000;
const NAMESPACE = 1;

const LIKE_THE_REFERENCE = {
  preset: 'mqsim-default',
  firmwareReadSmallNs: 516,
  readLsbNs: 75_200,
  readMsbNs: 75_200,
  channelMBps: 333,
  linkMBps: 3_923,
};

class FlashReader {
  private readonly world = new World();
  private readonly timing: CommandTiming;
  private isRead = false;
  private next = 0;
  private left = 0;
  private over = 0;
  private state = 1;

  constructor() {
    const { world } = this;
    const time = {
      nowNs: () => world.now,
      handler: (name: string, run: (arg: number) => undefined) => world.handler(name, Context.device, run),
      schedule: (ns: number, handler: number, arg: number) => world.schedule(ns, handler, arg),
    };
    const settings = TimingSettings.parse(LIKE_THE_REFERENCE);
    const jitter = world.choices.stream('latency');
    this.timing = commandTiming(settings, time, jitter, [0, BLOCKS * BLOCK_BYTES], (slot) => {
      this.over++;
      if (this.left === 0) return;
      this.left--;
      this.issue(slot);
    });
  }

  /** Writes every block once, so that every read has a place to look up. */
  fill(): void {
    this.isRead = false;
    this.run(WRITES);
  }

  read(count: number): void {
    this.isRead = true;
    this.run(count);
  }

  private run(count: number): void {
    this.over = 0;
    this.left = count - DEPTH;
    for (let slot = 0; slot < DEPTH; slot++) this.issue(slot);
    this.world.run();
    if (this.over !== count) throw new PincushionError('INTERNAL', `${this.over} of ${count} commands ended`);
  }

  private issue(slot: number): void {
    if (this.isRead) {
      this.state = (Math.imul(this.state, 1103515245) + 12345) & 0x7fffffff;
      const block = (this.state >> 8) & (BLOCKS - 1);
      const offset = (block & (PAGE_BLOCKS - 1)) * BLOCK_BYTES;
      this.timing.read(this.world.now, block >> 2, offset, BLOCK_BYTES, slot, NAMESPACE);
    } else {
      const page = this.next++ * (WRITE_BYTES / PAGE_BYTES);
      this.timing.write(this.world.now, page, 0, WRITE_BYTES, false, slot, NAMESPACE);
    }
  }
}

export const flashBenchmarks: readonly Benchmark[] = [
  {
    name: 'flash.events.qd32',
    what: 'the flash timing model alone, 4 KiB random reads at depth 32 over 64 dies',
    measure: (effort) => {
      const reads = effort === 'full' ? READS : READS / 200;
      const reader = new FlashReader();
      reader.fill();
      reader.read(reads >> 1);
      const seconds = secondsOf(() => {
        reader.read(reads);
      });
      return [{ name: 'flash.events.qd32', unit: 'requests/s', value: reads / seconds }];
    },
  },
];
