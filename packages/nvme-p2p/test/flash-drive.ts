/** A timing model alone with a clock, driven as the controller drives it: commands by slot, each over exactly once. */
import { Context, World } from '@pincushion/driver';
import type { CommandTiming } from '../src/device/timing/command-timing';
import { FlashTiming } from '../src/device/timing/flash/flash-timing';
import { commandTiming } from '../src/device/timing/timing';
import { TimingSettings } from '../src/device/timing/timing-settings';

const PAGE = 16_384;

export type Issue = (slot: number, i: number) => void;

export class FlashDrive {
  readonly world = new World();
  readonly timing: CommandTiming;
  /** Virtual time at which the command of each slot was over; -1 while it is not. */
  readonly overNs: number[] = [];
  private readonly begunNs: number[] = [];
  private readonly overHandler: number;
  private onOver: (slot: number) => void = () => undefined;
  private freeSlots: number[] = [];
  private slots = 0;

  constructor(latency: Record<string, unknown>, namespaceBytes: readonly number[] = [0, 64 * 2 ** 30]) {
    const { world } = this;
    const settings = TimingSettings.parse(latency);
    const over = (slot: number): undefined => {
      if (this.overNs[slot] !== -1) throw new Error(`the command of slot ${slot} is over for the second time`);
      this.overNs[slot] = world.now;
      this.onOver(slot);
    };
    this.overHandler = world.handler('over', Context.device, over);
    const time = {
      nowNs: () => world.now,
      handler: (name: string, run: (arg: number) => undefined) => world.handler(name, Context.device, run),
      schedule: (ns: number, id: number, arg: number) => world.schedule(ns, id, arg),
    };
    this.timing = commandTiming(settings, time, world.choices.stream('latency'), namespaceBytes, over);
  }

  get flash(): FlashTiming {
    if (!(this.timing instanceof FlashTiming)) throw new Error('not a flash model');
    return this.timing;
  }

  /** Begins a read; the result is its slot. */
  read(byte: number, bytes: number, nsid = 1, slot = this.slots): number {
    this.begin(slot);
    this.took(slot, this.timing.read(this.world.now, Math.floor(byte / PAGE) | 0, byte % PAGE, bytes, slot, nsid));
    return slot;
  }

  write(byte: number, bytes: number, durable = false, nsid = 1, slot = this.slots): number {
    this.begin(slot);
    const page = Math.floor(byte / PAGE) | 0;
    this.took(slot, this.timing.write(this.world.now, page, byte % PAGE, bytes, durable, slot, nsid));
    return slot;
  }

  flush(slot = this.slots): number {
    this.begin(slot);
    this.took(slot, this.timing.flush(this.world.now, slot));
    return slot;
  }

  /** Lets everything end that is under way, also behind the host's back. */
  settle(): void {
    this.world.run();
  }

  /** What a command took that begins when nothing is going on. */
  alone(begin: () => number): number {
    this.settle();
    const slot = begin();
    this.settle();
    return this.tookNs(slot);
  }

  tookNs(slot: number): number {
    if (this.overNs[slot] < 0) throw new Error(`the command of slot ${slot} is not over`);
    return this.overNs[slot] - this.begunNs[slot];
  }

  /**
   * Keeps `depth` commands going until `count` are over. The result is how long that took, and each command's time in the
   * order of their ends.
   */
  closedLoop(depth: number, count: number, issue: Issue): { ns: number; each: number[] } {
    const startNs = this.world.now;
    const base = this.slots;
    const each: number[] = [];
    let next = 0;
    let endNs = startNs;
    this.onOver = (slot) => {
      each.push(this.overNs[slot] - this.begunNs[slot]);
      endNs = this.world.now;
      if (next < count) issue(slot, next++);
    };
    while (next < depth && next < count) issue(base + next, next++);
    this.world.run({ until: () => each.length === count });
    this.onOver = () => undefined;
    if (each.length !== count) throw new Error(`${each.length} of ${count} commands are over`);
    return { ns: endNs - startNs, each };
  }

  private begin(slot: number): void {
    this.overNs[slot] = -1;
    this.begunNs[slot] = this.world.now;
    if (slot >= this.slots) this.slots = slot + 1;
  }

  private took(slot: number, delayNs: number): void {
    if (delayNs >= 0) this.world.schedule(delayNs, this.overHandler, slot);
  }
}

/** The value below which a share of the values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
