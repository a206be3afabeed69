/**
 * What each sector of a disk may contain, kept beside the disk, so that every read can be checked.
 *
 * Model: every write (and discard, and write-zeroes) has a generation, a number unique within the model. A read may
 * return, for each of its sectors, the content of any write that was *current at some moment of the read*: the last one
 * completed before the read was submitted, or any that overlaps the read in time. Where writes to one sector overlap
 * each other, either may be what stays; the sector is *contested* until a later write, submitted after both were over,
 * settles it. A write that failed leaves old and new both possible.
 *
 *     write 5   |-------|                    committed: 5 after its end
 *     write 6        |-------|               overlaps 5: the sector may hold 5 or 6 (contested)
 *     write 7                  |-----|       began after both ended: settles the sector, 7
 *     read                        |----|     may see 5 or 6 (before 7) and 7
 *
 * State is two uint32 per sector in chunks of 1 MiB of disk, made when a chunk is first written, so that an empty disk
 * of any size costs nothing; contested sectors, of which there are few, have lists in a map. Sectors never written hold
 * zeros (or anything at all, when the disk is backed by an image; or the self-describing content of an earlier run).
 *
 * Left out on purpose: order between sectors of one I/O. NVMe promises atomicity of a few blocks at best, so only a
 * mixture *inside* a sector is called torn.
 */
import type { World } from '@pincushion/sim';
import {
  SECTOR_WORDS,
  SectorKind,
  firstWrongPatternWord,
  headerOf,
  hexOf,
  isExactly,
  isZeros,
  kindOf,
  writeSectors,
} from './sector-content';

/** Set in the generation of a discard or write-zeroes: the sector then reads as zeros. */
const ZERO_BIT = 0x80000000;
const NEVER_WRITTEN = 0;
/** In `pending`: more than one generation is possible, see the map of contested sectors. */
const CONTESTED = 0xffffffff;
const CHUNK_SHIFT = 11;
const CHUNK_SECTORS = 1 << CHUNK_SHIFT;
const RETIRED_PRUNE_AT = 65536;
const FINDINGS_PER_CODE_MAX = 20;

/** The disk a model watches: its name for findings, its size to refuse nonsense. */
export interface WatchedDisk {
  readonly name: string;
  readonly capacitySectors: number;
}

export interface ContentModelOptions {
  /**
   * What sectors hold that no write of this model touched: `zeros` (default), where an earlier run may have left its content;
   * `any` for a disk backed by an image; `new` for a new file, zeros and nothing else.
   */
  readonly unwritten?: 'zeros' | 'any' | 'new';
  /** Models made at the same moment differ in it; 0 unless given. */
  readonly number?: number;
}

type ContentCode = 'DATA_LOST' | 'DATA_TORN' | 'DATA_MISPLACED';

class Chunk {
  /** Generation of the last write known to have ended; NEVER_WRITTEN at first. */
  readonly committed = new Uint32Array(CHUNK_SECTORS);
  /** Generation of the one write in flight, 0 when none, CONTESTED when the map has the sector. */
  readonly pending = new Uint32Array(CHUNK_SECTORS);
}

/** One generation a contested sector may hold. */
interface Candidate {
  readonly generation: number;
  readonly begunAt: number;
  endedAt: number;
}

/** A generation that stopped being possible while a read was in flight; that read may still return it. */
interface Retired {
  readonly sector: number;
  readonly generation: number;
  readonly at: number;
}

export class ContentModel {
  /** Marks this model's sectors on the disk, so that an earlier run's are not taken for ours. */
  readonly run: number;
  private readonly chunks = new Map<number, Chunk>();
  private readonly contested = new Map<number, Candidate[]>();
  private retired: Retired[] = [];
  private readonly readsBegun = new Map<number, number>();
  private readonly found = new Map<ContentCode, number>();
  private writtenAtNs = new Float64Array(1024);
  private nextGeneration = 1;
  /** Counts begins and ends of I/Os: finer than the clock, which many share. */
  private order = 1;
  private nextRead = 1;
  private checked = 0;

  constructor(
    private readonly world: World,
    private readonly disk: WatchedDisk,
    private readonly options: ContentModelOptions = {},
  ) {
    this.run = (world.eventsRun + 1 + (options.number ?? 0)) >>> 0;
  }

  /** Sectors compared with the model so far. */
  get sectorsChecked(): number {
    return this.checked;
  }

  /** A write of these sectors is about to be submitted. Returns its generation; owes `endWrite`. */
  beginWrite(sector: number, sectors: number): number {
    return this.begin(sector, sectors, 0);
  }

  /** As `beginWrite`, for a discard or write-zeroes: afterwards the sectors read as zeros. */
  beginZero(sector: number, sectors: number): number {
    return this.begin(sector, sectors, ZERO_BIT);
  }

  /** The write ended; any context. `ok` false: nobody knows what the sectors hold, old and new are both possible. */
  endWrite(generation: number, sector: number, sectors: number, ok: boolean): void {
    const now = ++this.order;
    for (let done = 0; done < sectors;) {
      const at = sector + done;
      const index = at % CHUNK_SECTORS;
      const n = Math.min(sectors - done, CHUNK_SECTORS - index);
      const chunk = this.chunkAt(at);
      for (let i = index; i < index + n; i++) {
        if (ok && chunk.pending[i] === generation) {
          if (this.readsBegun.size !== 0) this.retire(at + i - index, chunk.committed[i], now);
          chunk.committed[i] = generation;
          chunk.pending[i] = 0;
        } else {
          this.endContested(chunk, i, at + i - index, generation, ok, now);
        }
      }
      done += n;
    }
  }

  /** Fills a buffer with the content of a write that `beginWrite` has numbered. */
  fill(words: Uint32Array, at: number, sector: number, sectors: number, generation: number, writer: number): void {
    writeSectors(words, at, sector, sectors, generation, writer, this.run);
  }

  /** A read is about to be submitted. Returns a ticket for `check`; owes `endRead`. */
  beginRead(): number {
    const ticket = this.nextRead++;
    this.readsBegun.set(ticket, ++this.order);
    return ticket;
  }

  /** The read of this ticket is over and has been checked, or failed. */
  endRead(ticket: number): void {
    this.readsBegun.delete(ticket);
    if (this.readsBegun.size === 0 && this.retired.length !== 0) this.retired = [];
  }

  /**
   * Compares what a read returned with what it may return. Differences become findings (DATA_LOST, DATA_TORN,
   * DATA_MISPLACED), one for each run of sectors that went wrong alike. Returns the number of wrong sectors.
   */
  check(words: Uint32Array, at: number, sector: number, sectors: number, ticket: number): number {
    this.checked += sectors;
    let wrong = 0;
    let run: Problem | null = null;
    for (let i = 0; i < sectors; i++) {
      const base = at + i * SECTOR_WORDS;
      const problem = this.isCommitted(words, base, sector + i) ? null : this.examine(words, base, sector + i, ticket);
      if (problem !== null) wrong++;
      if (run !== null && problem?.code === run.code) {
        run.sectors++;
      } else {
        if (run !== null) this.report(run);
        run = problem;
      }
    }
    if (run !== null) this.report(run);
    return wrong;
  }

  /** Says how many findings were only counted, as further ones of a code beyond the first twenty. */
  reportSuppressed(): void {
    for (const [code, count] of this.found) {
      if (count <= FINDINGS_PER_CODE_MAX) continue;
      this.world.findings.report({
        code,
        device: this.disk.name,
        summary: `${count - FINDINGS_PER_CODE_MAX} more places of ${this.disk.name} went wrong in the same way`,
        sites: [],
        details: [`Only the first ${FINDINGS_PER_CODE_MAX} are listed one by one.`],
      });
    }
    this.found.clear();
  }

  /** All runs of sectors that were written or discarded, in the order of the disk, each of at most `sectorsMax`. */
  *writtenRuns(sectorsMax: number): Generator<{ sector: number; sectors: number }, undefined, undefined> {
    const numbers = [...this.chunks.keys()].sort((a, b) => a - b);
    let start = 0;
    let length = 0;
    for (const number of numbers) {
      const chunk = this.chunkAt(number * CHUNK_SECTORS);
      for (let i = 0; i < CHUNK_SECTORS; i++) {
        if (chunk.committed[i] === NEVER_WRITTEN && chunk.pending[i] === 0) continue;
        const sector = number * CHUNK_SECTORS + i;
        if (length !== 0 && (sector !== start + length || length === sectorsMax)) {
          yield { sector: start, sectors: length };
          length = 0;
        }
        if (length === 0) start = sector;
        length++;
      }
    }
    if (length !== 0) yield { sector: start, sectors: length };
  }

  private begin(sector: number, sectors: number, zeroBit: number): number {
    const number = this.nextGeneration++;
    const generation = (number | zeroBit) >>> 0;
    const now = ++this.order;
    if (number === this.writtenAtNs.length) {
      const grown = new Float64Array(number * 2);
      grown.set(this.writtenAtNs);
      this.writtenAtNs = grown;
    }
    this.writtenAtNs[number] = this.world.now;
    for (let done = 0; done < sectors;) {
      const at = sector + done;
      const index = at % CHUNK_SECTORS;
      const n = Math.min(sectors - done, CHUNK_SECTORS - index);
      const chunk = this.chunkAt(at);
      for (let i = index; i < index + n; i++) {
        if (chunk.pending[i] === 0) chunk.pending[i] = generation;
        else this.contend(chunk, i, at + i - index, { generation, begunAt: now, endedAt: Infinity });
      }
      done += n;
    }
    return generation;
  }

  /** A second write to a sector whose first is still in flight (or whose content is open already). */
  private contend(chunk: Chunk, index: number, sector: number, candidate: Candidate): void {
    const list = this.contested.get(sector);
    if (list !== undefined) {
      list.push(candidate);
      return;
    }
    this.contested.set(sector, [
      { generation: chunk.committed[index], begunAt: 0, endedAt: 0 },
      { generation: chunk.pending[index], begunAt: 1, endedAt: Infinity },
      candidate,
    ]);
    chunk.pending[index] = CONTESTED;
  }

  private endContested(
    chunk: Chunk,
    index: number,
    sector: number,
    generation: number,
    ok: boolean,
    now: number,
  ): void {
    let list = this.contested.get(sector);
    if (list === undefined) {
      // The only write in flight, and it failed: from now on both contents are possible.
      list = [
        { generation: chunk.committed[index], begunAt: 0, endedAt: 0 },
        { generation, begunAt: 1, endedAt: now },
      ];
      chunk.pending[index] = CONTESTED;
      this.contested.set(sector, list);
      return;
    }
    const own = list.find((candidate) => candidate.generation === generation);
    if (own === undefined) return;
    own.endedAt = now;
    if (!ok) return;
    const left: Candidate[] = [];
    for (const candidate of list) {
      if (candidate.endedAt >= own.begunAt) left.push(candidate);
      else if (this.readsBegun.size !== 0) this.retire(sector, candidate.generation, now);
    }
    if (left.length === 1) {
      chunk.committed[index] = generation;
      chunk.pending[index] = 0;
      this.contested.delete(sector);
    } else {
      this.contested.set(sector, left);
    }
  }

  private retire(sector: number, generation: number, now: number): void {
    if (this.retired.length >= RETIRED_PRUNE_AT) {
      let oldest = now;
      for (const begun of this.readsBegun.values()) if (begun < oldest) oldest = begun;
      this.retired = this.retired.filter((entry) => entry.at > oldest);
    }
    this.retired.push({ sector, generation, at: now });
  }

  /** The usual case: the sector holds exactly the last completed write, or the zeros of a sector never written. */
  private isCommitted(words: Uint32Array, base: number, sector: number): boolean {
    const chunk = this.chunks.get(Math.floor(sector / CHUNK_SECTORS));
    if (chunk === undefined) return isZeros(words, base);
    const index = sector % CHUNK_SECTORS;
    if (chunk.pending[index] === CONTESTED) return false;
    const generation = chunk.committed[index];
    if (isZeroLike(generation)) return isZeros(words, base);
    return isExactly(words, base, sector, generation, words[base + 4], this.run);
  }

  /** Every generation the sector may hold for a read of this ticket. */
  private possible(sector: number, ticket: number): number[] {
    const generations: number[] = [];
    const chunk = this.chunks.get(Math.floor(sector / CHUNK_SECTORS));
    const index = sector % CHUNK_SECTORS;
    const list = this.contested.get(sector);
    if (chunk === undefined) {
      generations.push(NEVER_WRITTEN);
    } else if (list === undefined) {
      generations.push(chunk.committed[index]);
      if (chunk.pending[index] !== 0) generations.push(chunk.pending[index]);
    } else {
      for (const candidate of list) generations.push(candidate.generation);
    }
    const begun = this.readsBegun.get(ticket) ?? this.order;
    for (const entry of this.retired) {
      if (entry.sector === sector && entry.at > begun) generations.push(entry.generation);
    }
    return generations;
  }

  private examine(words: Uint32Array, base: number, sector: number, ticket: number): Problem | null {
    const possible = this.possible(sector, ticket);
    const kind = kindOf(words, base);
    const mayBeUnwritten = possible.includes(NEVER_WRITTEN);
    if (kind === SectorKind.zeros && isZeros(words, base)) {
      if (possible.some(isZeroLike)) return null;
      return this.problem('DATA_LOST', sector, possible, words, base, 0, 'zeros');
    }
    if (kind === SectorKind.poison) {
      return this.problem('DATA_LOST', sector, possible, words, base, 0, 'what was in the buffer before: nothing came');
    }
    if (mayBeUnwritten && this.options.unwritten === 'any') return null;
    if (kind === SectorKind.written) {
      const header = headerOf(words, base);
      const wrongWord = firstWrongPatternWord(words, base);
      const whole = wrongWord === SECTOR_WORDS;
      const here = header.sector === sector;
      const ours = header.run === this.run;
      if (whole && here && ours && possible.includes(header.generation)) return null;
      if (whole && here && !ours && mayBeUnwritten && this.options.unwritten !== 'new') return null;
      const what = `generation ${header.generation} of sector ${header.sector}${ours ? '' : ' from an earlier run'}`;
      if (!whole) {
        const rest = this.nameTail(words, base, sector, possible, header.writer);
        const seam = wrongWord * 4;
        const mixture = `${what} up to byte ${seam}, then ${rest ?? 'something else'}`;
        return this.problem('DATA_TORN', sector, possible, words, base, wrongWord, mixture);
      }
      return this.problem(here ? 'DATA_LOST' : 'DATA_MISPLACED', sector, possible, words, base, 0, what);
    }
    const rest = this.nameTail(words, base, sector, possible, 0);
    if (rest !== null) {
      return this.problem('DATA_TORN', sector, possible, words, base, 0, `a strange beginning, at its end ${rest}`);
    }
    return this.problem('DATA_LOST', sector, possible, words, base, 0, 'content that no write of this run made');
  }

  /** What the last bytes of a mixed sector are, as far as the possible generations (and any writer seen) can tell. */
  private nameTail(
    words: Uint32Array,
    base: number,
    sector: number,
    possible: readonly number[],
    writer: number,
  ): string | null {
    const last = base + SECTOR_WORDS - 1;
    const wanted = new Uint32Array(SECTOR_WORDS);
    for (const generation of possible) {
      if (isZeroLike(generation)) {
        if (words[last] === 0) return 'zeros';
        continue;
      }
      for (const candidate of [writer, 0, 1, 2, 3]) {
        this.fill(wanted, 0, sector, 1, generation, candidate);
        if (words[last] === wanted[SECTOR_WORDS - 1]) return `generation ${generation}`;
      }
    }
    return null;
  }

  private problem(
    code: ContentCode,
    sector: number,
    possible: readonly number[],
    words: Uint32Array,
    base: number,
    word: number,
    found: string,
  ): Problem {
    return {
      code,
      sector,
      sectors: 1,
      expected: possible.map((generation) => this.describe(generation)).join(', or '),
      newest: possible.length === 0 ? NEVER_WRITTEN : possible[0],
      found,
      word,
      expectedHex: this.expectedHex(sector, possible, words[base + 4], word),
      foundHex: hexOf(words, base, word),
    };
  }

  private expectedHex(sector: number, possible: readonly number[], writer: number, word: number): string {
    const wanted = new Uint32Array(SECTOR_WORDS);
    const generation = possible[0] ?? NEVER_WRITTEN;
    if (!isZeroLike(generation)) this.fill(wanted, 0, sector, 1, generation, writer);
    return hexOf(wanted, 0, word);
  }

  private describe(generation: number): string {
    if (generation === NEVER_WRITTEN) return 'zeros (never written)';
    return isZeroLike(generation) ? 'zeros (discarded)' : `generation ${generation}`;
  }

  private report(problem: Problem): void {
    const count = (this.found.get(problem.code) ?? 0) + 1;
    this.found.set(problem.code, count);
    if (count > FINDINGS_PER_CODE_MAX) return;
    const last = problem.sector + problem.sectors - 1;
    const where = problem.sectors === 1 ? `sector ${problem.sector}` : `sectors ${problem.sector} to ${last}`;
    const written = (problem.newest & ~ZERO_BIT) >>> 0;
    this.world.findings.report({
      code: problem.code,
      device: this.disk.name,
      summary: `${where} of ${this.disk.name}: expected ${problem.expected}; found ${problem.found}`,
      sites:
        written === NEVER_WRITTEN
          ? []
          : [{ what: 'written', site: this.describe(problem.newest), atNs: this.writtenAtNs[written] }],
      details: [
        `expected at byte ${problem.word * 4}: ${problem.expectedHex}`,
        `found    at byte ${problem.word * 4}: ${problem.foundHex}`,
      ],
    });
  }

  private chunkAt(sector: number): Chunk {
    const number = Math.floor(sector / CHUNK_SECTORS);
    let chunk = this.chunks.get(number);
    if (chunk === undefined) {
      chunk = new Chunk();
      this.chunks.set(number, chunk);
    }
    return chunk;
  }
}

interface Problem {
  readonly code: ContentCode;
  readonly sector: number;
  sectors: number;
  readonly expected: string;
  readonly newest: number;
  readonly found: string;
  readonly word: number;
  readonly expectedHex: string;
  readonly foundHex: string;
}

function isZeroLike(generation: number): boolean {
  return generation === NEVER_WRITTEN || generation >= ZERO_BIT;
}
