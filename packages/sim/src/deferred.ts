/**
 * What runs as soon as what runs now has ended: handlers and their arguments, first in, first out, in a ring that grows.
 * The way back from an interrupt, on which a kernel runs softirqs and task work.
 */
const FIRST = 256;

export class DeferredRing {
  private ring = new Int32Array(2 * FIRST);
  private head = 0;
  private tail = 0;
  /** Handler and argument of the entry taken last. */
  handler = 0;
  arg = 0;

  get empty(): boolean {
    return this.head === this.tail;
  }

  add(handler: number, arg: number): void {
    const { ring, tail } = this;
    ring[tail] = handler;
    ring[tail + 1] = arg;
    this.tail = (tail + 2) & (ring.length - 1);
    if (this.tail === this.head) this.grow();
  }

  /** Takes the first entry into `handler` and `arg`; there must be one. */
  take(): void {
    const { ring, head } = this;
    this.handler = ring[head];
    this.arg = ring[head + 1];
    this.head = (head + 2) & (ring.length - 1);
  }

  /** The ring has just become full. */
  private grow(): void {
    const { ring, head } = this;
    const wide = new Int32Array(2 * ring.length);
    wide.set(ring.subarray(head));
    wide.set(ring.subarray(0, head), ring.length - head);
    this.ring = wide;
    this.head = 0;
    this.tail = ring.length;
  }
}
