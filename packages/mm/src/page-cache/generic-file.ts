/**
 * read(2) and write(2) of files in the page cache, page by page.
 *
 * A write goes into the folio that everybody maps; nothing happens to page-table entries, and nobody asks whether the folio
 * is pinned or being filled by a device.
 * A writer that makes too many pages dirty is made to wait (dirty-throttling.ts).
 * Left out: O_APPEND races (one writer at a time is the caller's business), O_DIRECT, O_SYNC.
 * Source followed: mm/filemap.c `filemap_read`, `generic_perform_write` (6.18).
 */
import { EIO, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { AddressSpace } from './address-space';
import { balanceDirtyPages } from './dirty-throttling';
import { eagerly, settled } from '../eager-task';
import { PG_locked, PG_readahead, PG_referenced, PG_uptodate } from '../frames/frames';
import { findFolio, folioMarkDirty, folioWaitBit } from './page-cache';
import { PAGE_SIZE } from '../frames/page-size';
import { Shortage } from '../reclaim/pressure';
import { asyncReadahead, readFolio, syncReadahead } from './readahead';

/** Reads as `MappableFile.read`. `filemap_read`. */
export function genericFileRead(
  mapping: AddressSpace,
  position: number,
  into: Uint8Array,
  at: number,
  n: number,
): MaySleep {
  mapping.memory.world.contexts.mightSleep('read');
  return eagerly(mapping.memory.world, 'read', readPages(mapping, position, into, at, n));
}

/** Writes as `MappableFile.write`. `generic_perform_write`. */
export function genericFileWrite(
  mapping: AddressSpace,
  position: number,
  from: Uint8Array,
  at: number,
  n: number,
): MaySleep {
  mapping.memory.world.contexts.mightSleep('write');
  return eagerly(mapping.memory.world, 'write', writePages(mapping, position, from, at, n));
}

function* readPages(mapping: AddressSpace, position: number, into: Uint8Array, at: number, n: number) {
  const { frames, bytes } = mapping.memory;
  let done = 0;
  let shortage: Shortage | null = null;
  while (done < n && position + done < mapping.host.size) {
    const from = position + done;
    const index = Math.floor(from / PAGE_SIZE);
    const head = findFolio(mapping, index);
    const flags = head === 0 ? 0 : frames.flags[head];
    if ((flags & (PG_uptodate | PG_readahead | PG_locked)) !== PG_uptodate) {
      const last = Math.ceil((position + n) / PAGE_SIZE);
      const error = yield* settled(bringIn(mapping, head, index, last - index));
      if (error === -ENOMEM && mapping.memory.pressure.starving) {
        shortage ??= new Shortage(mapping.memory, `a page of ${mapping.name}`);
        if ((yield* settled(shortage.relieve())) > 0) continue;
      }
      if (error < 0) return done > 0 ? done : error;
      continue;
    }
    const offset = from % PAGE_SIZE;
    const length = Math.min(PAGE_SIZE - offset, n - done, mapping.host.size - from);
    bytes.read(head, offset, into, at + done, length);
    frames.flags[head] |= PG_referenced;
    done += length;
  }
  if (done > 0) mapping.readahead.previous = Math.floor((position + done) / PAGE_SIZE);
  return done;
}

/** `filemap_get_pages`: what stands between the reader and an uptodate page. */
function bringIn(mapping: AddressSpace, head: number, index: number, count: number): MaySleep {
  if (head === 0) return syncReadahead(mapping, index, count);
  const flags = mapping.memory.frames.flags[head];
  if ((flags & PG_locked) !== 0) return folioWaitBit(mapping, head, PG_locked);
  return (flags & PG_uptodate) === 0 ? readFolio(mapping, head, index) : asyncReadahead(mapping, head, index, count);
}

function* writePages(mapping: AddressSpace, position: number, from: Uint8Array, at: number, n: number) {
  const { frames, bytes } = mapping.memory;
  let done = 0;
  let shortage: Shortage | null = null;
  while (done < n) {
    const to = position + done;
    const offset = to % PAGE_SIZE;
    const length = Math.min(PAGE_SIZE - offset, n - done);
    const begin = mapping.ops.writeBegin?.(mapping, Math.floor(to / PAGE_SIZE), offset, offset + length) ?? -EIO;
    const head = yield* settled(begin);
    if (head === -ENOMEM && mapping.memory.pressure.starving) {
      shortage ??= new Shortage(mapping.memory, `a page of ${mapping.name}`);
      if ((yield* settled(shortage.relieve())) > 0) continue;
    }
    if (head < 0) return done > 0 ? done : head;
    if (frames.mapping[head] !== mapping.id) continue; // truncated while its file system slept
    bytes.write(head, offset, from, at + done, length);
    frames.flags[head] |= PG_referenced;
    done += length;
    writeEnd(mapping, head, offset, offset + length);
    mapping.host.size = Math.max(mapping.host.size, position + done);
    yield* settled(balanceDirtyPages(mapping));
  }
  return done;
}

function writeEnd(mapping: AddressSpace, head: number, from: number, to: number): void {
  if (mapping.ops.writeEnd !== undefined) {
    mapping.ops.writeEnd(mapping, head, from, to);
    return;
  }
  mapping.memory.frames.flags[head] |= PG_uptodate;
  folioMarkDirty(mapping.memory, head);
}
