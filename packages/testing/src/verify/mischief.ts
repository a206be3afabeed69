/**
 * Hardware that misbehaves: a model whose registers, DMA and interrupts go through somebody who counts and spoils them.
 *
 * The model itself knows nothing of it, so any plugin's hardware can be made to misbehave: a register that reads as ones
 * (a dead bus), noise in what the device writes to memory (a broken completion), an interrupt that is lost, doubled or late.
 * What is spoilt is told by number, counted from 1 at power-on, so that a trial can be repeated.
 */
import type { DeviceModel, HardwareClass } from '@pincushion/driver';

/** What is done to the hardware. Each is the number of a register read, DMA write or interrupt; 0 or absent: never. */
export interface Mischief {
  /** From this register read on, all give ones. */
  readonly onesFrom?: number;
  /** From this register read on, all give 0. */
  readonly zeroesFrom?: number;
  /** This register read gives noise. */
  readonly noiseAtRead?: number;
  /** What the device writes to memory with this DMA write is noise. */
  readonly noiseAtWrite?: number;
  /** This interrupt is lost. */
  readonly lostInterrupt?: number;
  /** This interrupt comes twice. */
  readonly doubledInterrupt?: number;
  /** Each interrupt comes up to this many nanoseconds late, which also changes their order. */
  readonly lateNsMax?: number;
}

/** How often the hardware did each so far. */
export class HardwareCalls {
  registerReads = 0;
  dmaWrites = 0;
  interrupts = 0;
  /** Completions that the model marks itself; 0 for one whose interrupts are its completions. */
  completions = 0;
  /** Called before each DMA access. */
  onDma: (() => void) | null = null;
}

/** The methods of a model that are wrapped; most are protected, for drivers and tests, and this is neither. */
interface OpenModel {
  mmioRead(bar: number, offset: number, width: 1 | 2 | 4 | 8): number;
  dmaRead(iova: number, into: Uint8Array, at: number, n: number): number;
  dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number;
  dmaWrite(iova: number, from: Uint8Array, at: number, n: number): number;
  dmaWriteWords(iova: number, from: Int32Array, at: number, words: number): number;
  raise(vector: number): void;
  completion(publish: () => undefined): void;
  after(ns: number, run: () => undefined): number;
  stream(name: string): { uint32(): number; between(low: number, high: number): number };
}

/** The same hardware, spoilt. `calls` counts while it runs. */
export function spoiltHardware(cls: HardwareClass, mischief: Mischief, calls: HardwareCalls): HardwareClass {
  return new Proxy(cls, {
    construct(target, args: [], newTarget) {
      const model = Reflect.construct(target, args, newTarget) as DeviceModel;
      spoil(model as unknown as OpenModel, mischief, calls);
      return model;
    },
  });
}

function spoil(model: OpenModel, mischief: Mischief, calls: HardwareCalls): void {
  const { onesFrom = 0, zeroesFrom = 0, noiseAtRead = 0, noiseAtWrite = 0 } = mischief;
  const { lostInterrupt = 0, doubledInterrupt = 0, lateNsMax = 0 } = mischief;
  const mmioRead = model.mmioRead.bind(model);
  const dmaRead = model.dmaRead.bind(model);
  const dmaReadWords = model.dmaReadWords.bind(model);
  const dmaWrite = model.dmaWrite.bind(model);
  const dmaWriteWords = model.dmaWriteWords.bind(model);
  const raise = model.raise.bind(model);
  const completion = model.completion.bind(model);
  const noise = (): number => model.stream('verify.noise').uint32();

  model.mmioRead = (bar, offset, width) => {
    const n = ++calls.registerReads;
    const value = mmioRead(bar, offset, width);
    if (onesFrom > 0 && n >= onesFrom) return 2 ** (8 * width) - 1;
    if (zeroesFrom > 0 && n >= zeroesFrom) return 0;
    return n === noiseAtRead ? noise() % 2 ** (8 * width) : value;
  };
  model.dmaRead = (iova, into, at, n) => {
    calls.onDma?.();
    return dmaRead(iova, into, at, n);
  };
  model.dmaReadWords = (iova, into, at, words) => {
    calls.onDma?.();
    return dmaReadWords(iova, into, at, words);
  };
  model.dmaWrite = (iova, from, at, n) => {
    calls.onDma?.();
    if (++calls.dmaWrites !== noiseAtWrite) return dmaWrite(iova, from, at, n);
    return dmaWrite(iova, Uint8Array.from({ length: n }, noise), 0, n);
  };
  model.dmaWriteWords = (iova, from, at, words) => {
    calls.onDma?.();
    if (++calls.dmaWrites !== noiseAtWrite) return dmaWriteWords(iova, from, at, words);
    return dmaWriteWords(iova, Int32Array.from({ length: words }, noise), 0, words);
  };
  model.completion = (publish) => {
    calls.completions++;
    completion(publish);
  };
  model.raise = (vector) => {
    const n = ++calls.interrupts;
    if (n === lostInterrupt) return;
    if (lateNsMax > 0) {
      model.after(model.stream('verify.late').between(0, lateNsMax), () => {
        raise(vector);
        return undefined;
      });
      return;
    }
    raise(vector);
    if (n === doubledInterrupt) raise(vector);
  };
}
