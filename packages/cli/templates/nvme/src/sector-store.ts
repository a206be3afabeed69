/** What is on the disk: zeros, except where something was written. */

export const SECTOR_BYTES = 512;
const CHUNK_BYTES = 4096;

export class SectorStore {
  private readonly chunks = new Map<number, Uint8Array>();

  /** Reads `n` bytes from byte `at` of the disk. */
  read(at: number, into: Uint8Array, n: number): void {
    for (let done = 0; done < n;) {
      const { chunk, from, bytes } = piece(at + done, n - done);
      const content = this.chunks.get(chunk);
      if (content === undefined) into.fill(0, done, done + bytes);
      else into.set(content.subarray(from, from + bytes), done);
      done += bytes;
    }
  }

  write(at: number, from: Uint8Array, n: number): void {
    for (let done = 0; done < n;) {
      const { chunk, from: start, bytes } = piece(at + done, n - done);
      let content = this.chunks.get(chunk);
      if (content === undefined) {
        content = new Uint8Array(CHUNK_BYTES);
        this.chunks.set(chunk, content);
      }
      content.set(from.subarray(done, done + bytes), start);
      done += bytes;
    }
  }
}

/** The part of a range that lies in one chunk. */
function piece(at: number, left: number): { readonly chunk: number; readonly from: number; readonly bytes: number } {
  const chunk = Math.floor(at / CHUNK_BYTES);
  const from = at - chunk * CHUNK_BYTES;
  return { chunk, from, bytes: Math.min(CHUNK_BYTES - from, left) };
}
