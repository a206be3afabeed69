/**
 * Base address registers: what a device shows on the bus, and the memory behind those that hold memory.
 *
 * A register BAR is a window on the device's model. A memory BAR is memory of the device with frames of its own in
 * ZONE_DEVICE, so that CPU, device and peers see the same bytes: the device here, peers at the bus address, and the CPU
 * through register windows and user mappings.
 * Left out on purpose: I/O ports, resizing, that memory of a device is slow for the CPU.
 * Source followed: PCI Express Base Specification; Linux 6.18 include/linux/pci.h (pci_resource_start, pci_bus_address).
 */
import { PAGE_SIZE } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { PincushionError } from '@pincushion/sim';

/** What hardware says about one of its BARs, once its settings are known. */
export interface BarSpec {
  /** A power of two for memory; 0: the device has no such BAR. */
  readonly bytes: number;
  readonly isMemory: boolean;
  /** Reads have no side effects. */
  readonly isPrefetchable: boolean;
}

/** A BAR of a device that is plugged in. */
export interface Bar {
  readonly index: number;
  readonly bytes: number;
  /** Where peers reach it, and what the device's own BAR register says. */
  readonly busAddress: number;
  readonly isPrefetchable: boolean;
  /** The memory; null for registers. */
  readonly memory: BarMemory | null;
}

/** The content of a memory BAR, by bytes from its start. Any context; a range outside of it throws DMA_INVALID. */
export class BarMemory {
  /** The device is in its slot: without it, nobody answers on the bus. */
  present = true;

  constructor(
    private readonly owner: Memory,
    readonly busAddress: number,
    /** Frame of its first byte. */
    readonly firstFrame: number,
    readonly bytes: number,
  ) {}

  /** Copies `n` bytes from `offset` on into `into[at…]`. */
  read(offset: number, into: Uint8Array, at: number, n: number): void {
    this.check(offset, n);
    for (let done = 0; done < n;) {
      const inPage = (offset + done) % PAGE_SIZE;
      const step = Math.min(n - done, PAGE_SIZE - inPage);
      this.owner.bytes.read(this.frameAt(offset + done), inPage, into, at + done, step);
      done += step;
    }
  }

  /** Copies `n` bytes of `from[at…]` to `offset`. */
  write(offset: number, from: Uint8Array, at: number, n: number): void {
    this.check(offset, n);
    for (let done = 0; done < n;) {
      const inPage = (offset + done) % PAGE_SIZE;
      const step = Math.min(n - done, PAGE_SIZE - inPage);
      this.owner.bytes.write(this.frameAt(offset + done), inPage, from, at + done, step);
      done += step;
    }
  }

  /** Sets `n` bytes to `byte`. */
  fill(offset: number, byte: number, n: number): void {
    this.check(offset, n);
    for (let done = 0; done < n;) {
      const inPage = (offset + done) % PAGE_SIZE;
      const step = Math.min(n - done, PAGE_SIZE - inPage);
      this.owner.bytes.fill(this.frameAt(offset + done), inPage, byte, step);
      done += step;
    }
  }

  /** The 32-bit words of the page that `offset`, a multiple of 4, lies in, from there on. Valid as long as the device is. */
  wordsAt(offset: number): Int32Array {
    this.check(offset, 4);
    const inPage = offset % PAGE_SIZE;
    const page = this.owner.bytes.view(this.frameAt(offset), PAGE_SIZE);
    return new Int32Array(page.buffer, page.byteOffset + inPage, (PAGE_SIZE - inPage) >> 2);
  }

  /** One word, unsigned. */
  read32(offset: number): number {
    return this.wordsAt(offset)[0] >>> 0;
  }

  write32(offset: number, value: number): void {
    this.wordsAt(offset)[0] = value;
  }

  frameAt(offset: number): number {
    return this.firstFrame + Math.floor(offset / PAGE_SIZE);
  }

  /** The offset of a frame of it. */
  offsetOf(frame: number): number {
    return (frame - this.firstFrame) * PAGE_SIZE;
  }

  get frames(): number {
    return Math.ceil(this.bytes / PAGE_SIZE);
  }

  private check(offset: number, n: number): void {
    if (offset >= 0 && n >= 0 && offset + n <= this.bytes) return;
    throw new PincushionError('DMA_INVALID', 'an access lies outside of the memory of a BAR', {
      expected: `bytes 0 to ${this.bytes - 1}`,
      actual: `${n} bytes at ${offset}`,
    });
  }
}
