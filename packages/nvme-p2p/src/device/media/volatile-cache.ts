/**
 * What a power failure takes: content that was written and is not on the media yet.
 *
 * The namespaces hold the newest content at once. While the cache watches one, each sector that is written leaves here what it was
 * before, until a flush; a power cut puts some of it back:
 *
 *     write           sector not kept? keep what it was       a write with FUA: forget it, the newest is on the media
 *     flush           forget all of the namespace
 *     power cut       each 4 KiB that is kept: lost (put back) or on the media already (forgotten), by a decision of the run
 *
 * Left out: the order in which a drive empties its cache, and its size; every subset may survive.
 * Source: NVM Express Base Specification 1.4, section 6.8 (Flush) and the Volatile Write Cache feature.
 */
import type { Namespace, OverwriteWatch } from './namespace';

const SECTOR_BYTES = 512;
/** What is lost or survives as one. */
const UNIT_SECTORS = 8;

export class VolatileCache implements OverwriteWatch {
  /** By namespace id: what a sector was on the media, by its number. */
  private readonly kept = new Map<number, Map<number, Uint8Array>>();
  private readonly zeroes = new Uint8Array(SECTOR_BYTES);

  /** @param survives decides for one unit whether it is on the media already */
  constructor(private readonly survives: () => boolean) {}

  keep(namespace: Namespace, position: number, n: number, isZeroed: boolean): void {
    const sectors = this.kept.get(namespace.id) ?? new Map<number, Uint8Array>();
    this.kept.set(namespace.id, sectors);
    for (let done = 0; done < n;) {
      const count = namespace.seekRead(position + done, n - done);
      if (count <= 0) return; // What cannot be read cannot be put back.
      const { buffer, at } = namespace;
      if (buffer !== null || !isZeroed) {
        for (let i = 0; i < count; i += SECTOR_BYTES) {
          const sector = (position + done + i) / SECTOR_BYTES;
          if (sectors.has(sector)) continue;
          sectors.set(sector, buffer === null ? this.zeroes : buffer.slice(at + i, at + i + SECTOR_BYTES));
        }
      }
      done += count;
    }
  }

  /** What lies there is on the media. */
  durable(nsid: number, position: number, n: number): void {
    const sectors = this.kept.get(nsid);
    if (sectors === undefined) return;
    for (let done = 0; done < n; done += SECTOR_BYTES) sectors.delete((position + done) / SECTOR_BYTES);
  }

  /** All of a namespace is on the media. */
  flushed(nsid: number): void {
    this.kept.delete(nsid);
  }

  /** The power fails. False when an image file could not be written. */
  lose(namespaces: readonly (Namespace | null)[]): boolean {
    const kept = [...this.kept];
    this.kept.clear();
    let written = true;
    for (const [nsid, sectors] of kept) {
      const namespace = namespaces[nsid] ?? null;
      if (namespace !== null) namespace.watch = null; // What is put back is on the media.
      let unit = -1;
      let survives = true;
      for (const [sector, content] of [...sectors].sort(([a], [b]) => a - b)) {
        const itsUnit = Math.floor(sector / UNIT_SECTORS);
        if (itsUnit !== unit) survives = this.survives();
        unit = itsUnit;
        if (survives || namespace === null) continue;
        written = putContent(namespace, sector * SECTOR_BYTES, content) && written;
      }
    }
    return written;
  }
}

/** A copy of content; zeroes where the image behind it cannot be read. */
export function contentOf(namespace: Namespace, position: number, bytes: number): Uint8Array {
  const content = new Uint8Array(bytes);
  for (let done = 0; done < bytes;) {
    const count = namespace.seekRead(position + done, bytes - done);
    if (count <= 0) break;
    const { buffer, at } = namespace;
    if (buffer !== null) content.set(buffer.subarray(at, at + count), done);
    done += count;
  }
  return content;
}

/** Puts content there; false when the image behind it cannot be written. */
export function putContent(namespace: Namespace, position: number, content: Uint8Array): boolean {
  for (let done = 0; done < content.length;) {
    const count = namespace.seekWrite(position + done, content.length - done);
    if (count <= 0 || namespace.buffer === null) return false;
    namespace.buffer.set(content.subarray(done, done + count), namespace.at);
    if (!namespace.commit(position + done, count)) return false;
    done += count;
  }
  return true;
}
