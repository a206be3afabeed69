/**
 * The bus of a controller whose own memory is open to its commands: what lies there is served inside, all else goes out.
 *
 *   address of the CMB or PMR -> its bytes          any other -> DMA
 *
 * An access that begins inside and ends outside is refused, as no such range exists. A controller without such memory, or with it
 * closed, uses its DMA directly and never comes here.
 */
import { EFAULT } from '@pincushion/driver';
import type { BusMaster } from './bus-master';
import type { ControllerMemory, MemoryWindow } from '../controller-memory';

const PAGE = 4096;

export class LocalBus implements BusMaster {
  constructor(
    private readonly outside: BusMaster,
    private readonly inside: ControllerMemory,
  ) {}

  dmaRead(iova: number, into: Uint8Array, at: number, n: number): number {
    const window = this.inside.find(iova);
    if (window === null) return this.outside.dmaRead(iova, into, at, n);
    if (!fits(window, iova, n)) return -EFAULT;
    window.memory.read(iova - window.base, into, at, n);
    return 0;
  }

  dmaWrite(iova: number, from: Uint8Array, at: number, n: number): number {
    const window = this.inside.find(iova);
    if (window === null) return this.outside.dmaWrite(iova, from, at, n);
    if (!fits(window, iova, n)) return -EFAULT;
    window.memory.write(iova - window.base, from, at, n);
    return 0;
  }

  dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    const window = this.inside.find(iova);
    if (window === null) return this.outside.dmaReadWords(iova, into, at, words);
    if (!fits(window, iova, 4 * words) || (iova % PAGE) + 4 * words > PAGE) return -EFAULT;
    const source = window.memory.wordsAt(iova - window.base);
    for (let i = 0; i < words; i++) into[at + i] = source[i];
    return 0;
  }

  dmaWriteWords(iova: number, from: Int32Array, at: number, words: number): number {
    const window = this.inside.find(iova);
    if (window === null) return this.outside.dmaWriteWords(iova, from, at, words);
    if (!fits(window, iova, 4 * words) || (iova % PAGE) + 4 * words > PAGE) return -EFAULT;
    const target = window.memory.wordsAt(iova - window.base);
    for (let i = 0; i < words; i++) target[i] = from[at + i];
    return 0;
  }

  dmaFill(iova: number, byte: number, n: number): number {
    const window = this.inside.find(iova);
    if (window === null) return this.outside.dmaFill(iova, byte, n);
    if (!fits(window, iova, n)) return -EFAULT;
    window.memory.fill(iova - window.base, byte, n);
    return 0;
  }

  dmaCheck(iova: number, n: number, write: boolean): number {
    const window = this.inside.find(iova);
    if (window === null) return this.outside.dmaCheck(iova, n, write);
    return fits(window, iova, n) ? 0 : -EFAULT;
  }
}

function fits(window: MemoryWindow, address: number, n: number): boolean {
  return address + n <= window.base + window.bytes;
}
