import { PG_hasBytes } from '../src/index';
import { MIB, setUp } from './machine-memory';

const bytesOf = (n: number, seed: number) => Uint8Array.from({ length: n }, (_, i) => (i * 7 + seed) & 255);

describe('page content', () => {
  it('reads as zeros until it is written, and takes no host memory until then', () => {
    const { memory } = setUp();
    const pfn = memory.allocFolio(0);
    const into = new Uint8Array(16).fill(9);
    memory.bytes.read(pfn, 100, into, 0, 16);
    expect([...into]).toEqual(new Array(16).fill(0));
    expect(memory.bytes.chunksUsed).toBe(0);
  });

  it('keeps what was written, and zeros around it', () => {
    const { memory } = setUp();
    const pfn = memory.allocFolio(0);
    memory.bytes.write(pfn, 1000, bytesOf(200, 3), 0, 200);
    const into = new Uint8Array(202);
    memory.bytes.read(pfn, 999, into, 0, 202);
    expect([...into]).toEqual([0, ...bytesOf(200, 3), 0]);
  });

  it('gives a frame that is used again no content of its former life', () => {
    const { memory } = setUp();
    const pfn = memory.allocFolio(0);
    memory.bytes.write(pfn, 0, bytesOf(4096, 1), 0, 4096);
    memory.putFolio(pfn);
    expect(memory.allocFolio(0)).toBe(pfn);
    const into = new Uint8Array(4096).fill(1);
    memory.bytes.read(pfn, 0, into, 0, 4096);
    expect(into.every((byte) => byte === 0)).toBe(true);
    memory.bytes.write(pfn, 10, Uint8Array.of(5), 0, 1);
    memory.bytes.read(pfn, 0, into, 0, 4096);
    expect(into.reduce((sum, byte) => sum + byte)).toBe(5);
  });

  it('copies between frames inside a chunk and across chunks', () => {
    const { memory } = setUp();
    const near = memory.allocFolio(0);
    const far = memory.allocFolio(10);
    memory.bytes.write(near, 0, bytesOf(4096, 5), 0, 4096);
    memory.bytes.copy(near + 1, 0, near, 0, 4096);
    memory.bytes.copy(far + 1023, 96, near, 0, 4000);
    const into = new Uint8Array(4096);
    memory.bytes.read(near + 1, 0, into, 0, 4096);
    expect(into).toEqual(bytesOf(4096, 5));
    memory.bytes.read(far + 1023, 0, into, 0, 4096);
    expect(into.subarray(96)).toEqual(bytesOf(4096, 5).subarray(0, 4000));
    memory.bytes.copy(near, 0, far, 0, 4096);
    memory.bytes.read(near, 0, into, 0, 4096);
    expect(into.every((byte) => byte === 0)).toBe(true);
  });

  it('offers a window on contiguous frames that is the memory itself', () => {
    const { memory, frames } = setUp();
    const head = memory.allocFolio(2);
    const window = memory.bytes.view(head, 3 * 4096);
    window[4096] = 42;
    const into = new Uint8Array(1);
    memory.bytes.read(head + 1, 0, into, 0, 1);
    expect(into[0]).toBe(42);
    expect(frames.flags[head + 3] & PG_hasBytes).toBe(0);
  });

  it('refuses a window across a 4 MiB boundary', () => {
    const { memory } = setUp();
    expect(() => memory.bytes.view(2047, 2 * 4096)).toThrow(RangeError);
    expect(memory.bytes.view(1024, 4 * MIB)).toHaveLength(4 * MIB);
  });
});
