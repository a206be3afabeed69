/** Bytes that came from a socket and wait to be understood: pieces of any length in, whole messages out. */
export class ByteQueue {
  private readonly pieces: Uint8Array[] = [];
  private taken = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  push(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.pieces.push(piece);
    this.count += piece.length;
  }

  /** The next `n` bytes, or null while there are fewer. They stay. */
  peek(n: number): Buffer | null {
    if (this.count < n) return null;
    const first = this.pieces.at(0);
    if (first !== undefined && first.length - this.taken >= n) {
      return Buffer.from(first.buffer, first.byteOffset + this.taken, n);
    }
    const whole = Buffer.allocUnsafe(n);
    let done = 0;
    for (let i = 0; done < n; i++) {
      const piece = i === 0 ? this.pieces[0].subarray(this.taken) : this.pieces[i];
      done += piece.length <= n - done ? put(whole, done, piece) : put(whole, done, piece.subarray(0, n - done));
    }
    return whole;
  }

  /** The next `n` bytes, which go; null while there are fewer. What is given back is valid as long as the piece is not changed. */
  take(n: number): Buffer | null {
    const bytes = this.peek(n);
    if (bytes !== null) this.drop(n);
    return bytes;
  }

  /** Up to `n` bytes go; how many. */
  drop(n: number): number {
    let left = Math.min(n, this.count);
    const dropped = left;
    this.count -= left;
    while (left > 0) {
      const here = this.pieces[0].length - this.taken;
      if (here > left) {
        this.taken += left;
        break;
      }
      this.pieces.shift();
      this.taken = 0;
      left -= here;
    }
    return dropped;
  }
}

function put(into: Buffer, at: number, piece: Uint8Array): number {
  into.set(piece, at);
  return piece.length;
}
