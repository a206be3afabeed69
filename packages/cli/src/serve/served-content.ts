/**
 * What clients may expect to read: of each sector the checksum of what was written to it last, beside the machine and never asked by
 * it. A read that brings something else is a finding.
 *
 *   known      one write ended well, and nothing else was in flight there
 *   any        writes overlapped or failed, a range was trimmed, a power cut may have taken it
 *   initial    never written: zeroes, unless an image is behind the disk
 *
 * A read is compared when no write to its sectors was in flight together with it. What was written and not flushed is `any` after a power
 * cut; what was flushed is not, whether the device meant it or not.
 */
import { crc32 } from 'node:zlib';
import { EINVAL } from '@pincushion/sim';
import type { ErrorCode, World } from '@pincushion/sim';
import type { BlockRequest, ServedReply } from './request';

const SECTOR_BYTES = 512;
/** Sectors of one page of the tables: 2 MiB of a disk. */
const PAGE_SECTORS = 4096;
const ZEROES_CRC = crc32(new Uint8Array(SECTOR_BYTES));

const INITIAL = 0;
const KNOWN = 1;
const ANY = 2;

class Page {
  readonly state = new Uint8Array(PAGE_SECTORS);
  readonly crc = new Uint32Array(PAGE_SECTORS);
  /** What was there before the last write. */
  readonly before = new Uint32Array(PAGE_SECTORS).fill(ZEROES_CRC);
  /** The request that wrote last. */
  readonly writer = new Float64Array(PAGE_SECTORS);
}

interface InFlight {
  readonly id: number;
  readonly request: BlockRequest;
  /** Something else touched its sectors meanwhile. */
  isDisturbed: boolean;
  /** Of a flush: how many writes had ended when it came. */
  readonly writesBefore: number;
}

/** Sectors of a write that ended and was not flushed. */
interface Unflushed {
  readonly disk: string;
  readonly first: number;
  readonly sectors: number;
}

export class ServedContent {
  private readonly pages = new Map<string, Map<number, Page>>();
  private readonly inFlight = new Map<number, InFlight>();
  private unflushed: Unflushed[] = [];
  /** Entries that were taken from the front of `unflushed`. */
  private forgotten = 0;
  private powerCuts = 0;

  /** @param initial what a sector holds that no client has written */
  constructor(
    private readonly world: World,
    private readonly initial: 'zeros' | 'any',
  ) {}

  arrived(id: number, request: BlockRequest): void {
    this.notePowerCuts();
    const writesBefore = this.forgotten + this.unflushed.length;
    const own: InFlight = { id, request, isDisturbed: false, writesBefore };
    for (const other of this.inFlight.values()) {
      if (!overlap(request, other.request)) continue;
      // A read brings nothing into a write's way.
      if (other.request.op !== 'read') own.isDisturbed = true;
      if (request.op !== 'read') other.isDisturbed = true;
    }
    this.inFlight.set(id, own);
  }

  ended(id: number, reply: ServedReply): void {
    this.notePowerCuts();
    const own = this.inFlight.get(id);
    if (own === undefined) return;
    this.inFlight.delete(id);
    const { request } = own;
    const isGood = reply.status === 0;
    if (request.op === 'read') {
      if (isGood && !own.isDisturbed) this.compare(id, request, reply.data);
    } else if (request.op === 'flush') {
      if (isGood) this.flushed(own.writesBefore);
    } else if (reply.status !== -EINVAL) {
      this.wrote(own, isGood && !own.isDisturbed && request.op !== 'trim');
      const { disk } = request;
      if (this.cutsPlanned && !(request.fua && isGood)) this.unflushed.push({ disk, ...sectorsOf(request) });
    }
  }

  private get cutsPlanned(): boolean {
    return this.world.faults.armed && this.world.faults.plans('powercut');
  }

  private wrote({ id, request }: InFlight, isKnown: boolean): void {
    const { disk, data } = request;
    const { first, sectors } = sectorsOf(request);
    for (let i = 0; i < sectors; i++) {
      const at = (first + i) % PAGE_SECTORS;
      if (data === null && !this.hasPage(disk, first + i)) {
        i += PAGE_SECTORS - at - 1; // Zeroes go where nobody wrote: nothing changes, and a whole disk can be trimmed.
        continue;
      }
      const page = this.pageOf(disk, first + i);
      page.before[at] = page.state[at] === INITIAL ? ZEROES_CRC : page.crc[at];
      page.state[at] = isKnown ? KNOWN : ANY;
      page.crc[at] = data === null ? ZEROES_CRC : crcOf(data, i);
      page.writer[at] = id;
    }
  }

  private compare(id: number, request: BlockRequest, data: Uint8Array): void {
    const { first, sectors } = sectorsOf(request);
    let bad = 0;
    let report: { readonly code: ErrorCode; readonly summary: string } | null = null;
    for (let i = 0; i < sectors; i++) {
      const sector = first + i;
      const page = this.pageOf(request.disk, sector);
      const at = sector % PAGE_SECTORS;
      const state = page.state[at];
      if (state === ANY || (state === INITIAL && this.initial === 'any')) continue;
      const got = crcOf(data, i);
      if (got === (state === INITIAL ? ZEROES_CRC : page.crc[at])) continue;
      bad++;
      report ??= this.explain(request.disk, sector, page, at, got);
      page.state[at] = ANY; // Told once.
    }
    if (report === null) return;
    this.world.findings.report({
      ...report,
      device: request.disk,
      sites: [],
      details: [`request ${id} read ${sectors} sectors from ${first} on; ${bad} of them are not as they were written`],
    });
  }

  private explain(
    disk: string,
    sector: number,
    page: Page,
    at: number,
    got: number,
  ): { readonly code: ErrorCode; readonly summary: string } {
    const written =
      page.state[at] === INITIAL
        ? 'was never written and is not zero'
        : `does not have what request ${page.writer[at]} wrote`;
    const words = `sector ${sector} of ${disk} ${written}`;
    if (page.state[at] === KNOWN && (got === page.before[at] || got === ZEROES_CRC)) {
      return { code: 'DATA_LOST', summary: `${words}: it has what was there before` };
    }
    const other = this.sectorWith(disk, got);
    if (other === null) return { code: 'DATA_LOST', summary: `${words}: it has what nobody wrote there` };
    return { code: 'DATA_MISPLACED', summary: `${words}: it has the content of sector ${other}` };
  }

  private sectorWith(disk: string, crc: number): number | null {
    for (const [number, page] of this.pages.get(disk) ?? []) {
      const at = page.crc.findIndex((each, i) => each === crc && page.state[i] !== INITIAL);
      if (at >= 0) return number * PAGE_SECTORS + at;
    }
    return null;
  }

  /** What the first `writes` writes left is durable. */
  private flushed(writes: number): void {
    const gone = Math.max(0, writes - this.forgotten);
    this.unflushed.splice(0, gone);
    this.forgotten += gone;
  }

  /** After a power cut nobody may expect what was not flushed; nor what was in flight. */
  private notePowerCuts(): void {
    const now = this.world.faults.strikesOf('powercut');
    if (now === this.powerCuts) return;
    this.powerCuts = now;
    for (const own of this.inFlight.values()) own.isDisturbed = true;
    for (const { disk, first, sectors } of this.unflushed) {
      for (let i = 0; i < sectors; i++) this.pageOf(disk, first + i).state[(first + i) % PAGE_SECTORS] = ANY;
    }
    this.flushed(this.forgotten + this.unflushed.length);
  }

  private hasPage(disk: string, sector: number): boolean {
    return this.pages.get(disk)?.has(Math.floor(sector / PAGE_SECTORS)) ?? false;
  }

  private pageOf(disk: string, sector: number): Page {
    const pages = this.pages.get(disk) ?? new Map<number, Page>();
    this.pages.set(disk, pages);
    const number = Math.floor(sector / PAGE_SECTORS);
    let page = pages.get(number);
    if (page === undefined) pages.set(number, (page = new Page()));
    return page;
  }
}

function sectorsOf({ offset, length }: BlockRequest): { readonly first: number; readonly sectors: number } {
  return { first: offset / SECTOR_BYTES, sectors: length / SECTOR_BYTES };
}

function overlap(a: BlockRequest, b: BlockRequest): boolean {
  return a.disk === b.disk && a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}

function crcOf(data: Uint8Array, sector: number): number {
  return crc32(data.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES));
}
