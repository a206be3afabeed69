/**
 * The base class of every hardware model.
 *
 * A model sees what hardware sees: accesses to its registers, bus addresses, interrupt vectors, time. It reaches memory
 * only through DMA, and only what is mapped for it in the mapped direction; everything else is a DMA fault that it gets
 * as a negative errno. Once unplugged, no event of it runs any more. Its constructor takes nothing: `config` is there
 * from `powerOn` on.
 */
import type { Bar, BarMemory, DeviceAccess } from '@pincushion/dma';
import type { ChoiceStream, FaultEffect, FaultSites, IoSite, World } from '@pincushion/sim';
import { Context, PincushionError } from '@pincushion/sim';
import { Detour } from './detour';
import type { HostFiles } from './services/host-files';
import type { DeviceInterrupts } from './services/interrupts';

/** What the slot a model is plugged into gives it. */
export interface Slot {
  readonly world: World;
  /** Device path, names its choices and handlers. */
  readonly path: string;
  readonly lines: DeviceInterrupts;
  readonly hostFiles: HostFiles;
  /** By number; null where the device has none. */
  readonly bars: readonly (Bar | null)[];
}

/** What the hardware does on its bus, done by a test in its place. */
export interface HardwareBench {
  /** Raises an interrupt vector. */
  raise(vector: number): void;
  /** Reads `n` bytes of host memory by DMA, or -errno. */
  dmaRead(iova: number, n: number): Uint8Array | number;
  /** Writes host memory by DMA: 0 or -errno. */
  dmaWrite(iova: number, bytes: Uint8Array): number;
  /** A register as the CPU sees it, past the driver. */
  read32(offset: number, bar?: number): number;
  write32(offset: number, value: number, bar?: number): void;
  /** From now on completions wait for `completeNext`. A model that marks none completes by each interrupt. */
  holdCompletions(): void;
  readonly completionsHeld: number;
  /** Lets the oldest completion go. Throws DEVICE_INVALID when none is held back. */
  completeNext(): void;
  /** Lets all go, and holds back no more. */
  releaseCompletions(): void;
}

export abstract class DeviceModel<C = unknown> {
  /** The model's settings, checked against the schema of `@hardware`. Set before `powerOn`. */
  protected readonly config!: C;
  /** True once the hardware has been pulled out. */
  protected gone = false;
  private slot!: Slot;
  /** What events run code of the model. */
  private readonly handlers: number[] = [];

  private world!: World;
  private domain!: DeviceAccess;
  private lines!: DeviceInterrupts;
  private faultSites!: FaultSites;
  private completions!: Detour;
  /** The model says itself what a completion is; else each interrupt it raises is one. */
  private marksCompletions = false;

  /** The settings, for people who look at a machine. */
  get settings(): unknown {
    return this.config;
  }

  /** Brings the hardware to its state after power-on. Called once, before any register access. */
  abstract powerOn(): void;

  /** A read of `width` bytes at `offset` of a register BAR, in the context of the CPU that reads. */
  abstract mmioRead(bar: number, offset: number, width: 1 | 2 | 4 | 8): number;

  /** A write of `width` bytes at `offset` of a register BAR, in the context of the CPU that writes. */
  abstract mmioWrite(bar: number, offset: number, value: number, width: 1 | 2 | 4 | 8): void;

  /** Back to the state after power-on, as a function-level reset. By default `powerOn`. */
  reset(): void {
    this.powerOn();
  }

  /** The hardware is pulled out. Overrides call `super.unplug()`. */
  unplug(): void {
    this.gone = true;
    for (const id of this.handlers) this.world.retireHandler(id);
  }

  /** By the bus, once. */
  plugInto(slot: Slot, config: C): void {
    this.slot = slot;
    this.world = slot.world;
    this.lines = slot.lines;
    this.faultSites = slot.world.faults;
    this.completions = new Detour(slot.world, 'completion', () => !this.gone);
    Object.defineProperty(this, 'config', { value: config, enumerable: true });
  }

  /** By the bus, once for each binding of a driver: the IO page table that DMA goes through. */
  connect(domain: DeviceAccess): void {
    this.domain = domain;
  }

  /** Reads host memory: 0 or -errno. Bytes before a fault have been transferred. */
  protected dmaRead(iova: number, into: Uint8Array, at: number, n: number): number {
    return this.domain.read(iova, into, at, n);
  }

  /** Writes host memory: 0 or -errno. Bytes before a fault have been transferred. */
  protected dmaWrite(iova: number, from: Uint8Array, at: number, n: number): number {
    return this.domain.write(iova, from, at, n);
  }

  /** Reads 4-byte words within one page. */
  protected dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    return this.domain.readWords(iova, into, at, words);
  }

  /** Writes 4-byte words within one page. */
  protected dmaWriteWords(iova: number, from: Int32Array, at: number, words: number): number {
    return this.domain.writeWords(iova, from, at, words);
  }

  /** Translates only: whether the device could read (`write` false) or write `n` bytes. */
  protected dmaCheck(iova: number, n: number, write: boolean): number {
    return this.domain.check(iova, n, write);
  }

  /** Writes `n` times the same byte. */
  protected dmaFill(iova: number, byte: number, n: number): number {
    return this.domain.fill(iova, byte, n);
  }

  /** The memory of a memory BAR, which CPU and peers read and write, too; null when the device has no such BAR, or registers in it. */
  protected barMemory(bar: number): BarMemory | null {
    return this.slot.bars.at(bar)?.memory ?? null;
  }

  /** The bus address of a BAR, as in its BAR register; 0 when the device has none. */
  protected busAddress(bar: number): number {
    return this.slot.bars.at(bar)?.busAddress ?? 0;
  }

  /** Raises an interrupt vector; the driver's handler may run before this returns. */
  protected raise(vector: number): void {
    if (this.faultSites.armed) this.raiseWatched(vector);
    else this.lines.raise(vector);
  }

  /** Whether completions have to go through `completion`: a fault plan is armed, or a test holds them back. */
  protected get completionsWatched(): boolean {
    return this.faultSites.armed;
  }

  /**
   * For models of disks, when `completionsWatched`: counts an I/O command that is about to be carried out, on sectors of 512 bytes
   * (none: a flush). What a fault plan wants to happen to it, or null.
   */
  protected ioFault(site: IoSite, first: number, sectors: number): FaultEffect | null {
    return this.faultSites.ioCommand(site, first, sectors);
  }

  /** Whether the fault plan has an effect of this kind. */
  protected faultPlanned(kind: FaultEffect['kind']): boolean {
    return this.faultSites.plans(kind);
  }

  /**
   * For models that post completions in memory, to be called when `completionsWatched`: lets `publish` post the entry and
   * raise the interrupt, now, later, twice or never. `publish` keeps what it needs, and checks that its queue still exists.
   */
  protected completion(publish: () => undefined): void {
    this.marksCompletions = true;
    this.completions.pass(publish, this.domain.takeOwedNs());
  }

  private raiseWatched(vector: number): void {
    const send = (): undefined => {
      this.lines.raise(vector);
    };
    if (this.marksCompletions) send();
    else this.completions.pass(send, this.domain.takeOwedNs());
  }

  /** What a DMA access that took too long (fault plan) adds to the time until the model goes on. */
  private lateness(): number {
    return this.faultSites.armed ? this.domain.takeOwedNs() : 0;
  }

  /** The other side of the model, for tests: what hardware does on its bus, done by hand. */
  bench(): HardwareBench {
    const { completions } = this;
    let unwatch: (() => undefined) | null = null;
    return {
      raise: (vector) => {
        this.raise(vector);
      },
      dmaRead: (iova, n) => {
        const bytes = new Uint8Array(n);
        const error = this.domain.read(iova, bytes, 0, n);
        return error === 0 ? bytes : error;
      },
      dmaWrite: (iova, bytes) => this.domain.write(iova, bytes, 0, bytes.length),
      read32: (offset, bar = 0) => this.mmioRead(bar, offset, 4) >>> 0,
      write32: (offset, value, bar = 0) => {
        this.mmioWrite(bar, offset, value, 4);
      },
      holdCompletions: () => {
        unwatch ??= this.faultSites.watch();
        completions.hold();
      },
      get completionsHeld() {
        return completions.waiting;
      },
      completeNext: () => {
        if (completions.next()) return;
        throw new PincushionError('DEVICE_INVALID', 'no completion is held back', {
          device: this.slot.path,
          expected: 'a completion of the hardware after holdCompletions',
          hint: 'letting time pass until the hardware is done',
        });
      },
      releaseCompletions: () => {
        completions.release();
        unwatch?.();
        unwatch = null;
      },
    };
  }

  /** Virtual nanoseconds. */
  protected get now(): number {
    return this.world.now;
  }

  /** At power-on: registers what `schedule` can start. Runs in device context, and never after `unplug`. */
  protected handler(name: string, run: (arg: number) => undefined): number {
    const id = this.world.handler(`${this.slot.path} ${name}`, Context.device, run);
    this.handlers.push(id);
    if (this.gone) this.world.retireHandler(id);
    return id;
  }

  /** Starts a registered handler after `ns` nanoseconds. Hot form: no closure. `arg` is an int32. Returns the event. */
  protected schedule(ns: number, handlerId: number, arg: number): number {
    return this.world.schedule(this.faultSites.armed ? ns + this.lateness() : ns, handlerId, arg);
  }

  /** Takes back a scheduled event; false when it has run. */
  protected cancel(eventId: number): boolean {
    return this.world.cancel(eventId);
  }

  /** Runs a function after `ns` nanoseconds, in device context, and never after `unplug`. */
  protected after(ns: number, run: () => undefined): number {
    return this.world.after(ns + this.lateness(), Context.device, () => {
      if (!this.gone) run();
    });
  }

  /** A stream of named choices of this device. */
  protected stream(name: string): ChoiceStream {
    return this.world.choices.stream(`${this.slot.path}.${name}`);
  }

  protected get hostFiles(): HostFiles {
    return this.slot.hostFiles;
  }
}
