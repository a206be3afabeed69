/**
 * Random programs: sequences of all the operations that scenarios have, chosen so that they meet.
 *
 * A program is a function of a seed and its number, and of nothing else, so any of them can be made again. It begins with
 * memory of a few kinds (small, huge, hugetlb, files of each file system), then processes, devices, pipes and the kernel
 * itself act on it. Arguments stay within what the recorder of real kernels takes, so a program can be asked of one.
 * Left out: limits so low that everything fails, pages beyond the regions, names that were never made.
 */
import { ChoiceSource } from '@pincushion/sim';
import type { ChoiceStream } from '@pincushion/sim';
import type { OperationArguments } from '../recording';
import type { Script, ScriptStep } from '../script/script';

/** What a machine has of each: a real kernel's recorder takes no more. */
const CHILDREN_MOST = 3;
const HELD_MOST = 10;
const REGIONS_MOST = 7;
const HUGE = 512;

type Kind = 'anon' | 'anonsh' | 'fpriv' | 'fshared' | 'hugetlb' | 'hugetlbsh';

interface RegionMade {
  readonly name: string;
  readonly kind: Kind;
  readonly pages: number;
  readonly isHuge: boolean;
}

interface FileMade {
  readonly name: string;
  readonly pages: number;
  /** Pages that one step goes: 512 of a hugetlb file. */
  readonly unit: number;
}

interface Held {
  readonly id: string;
  readonly by: string;
  readonly pages: number;
}

type Weights = Record<string, number>;

/** Program `number` of a seed, with `operations` steps. */
export function randomProgram(seed: number, number: number, operations: number): Script {
  return new ProgramMaker(new ChoiceSource(seed).stream('program', number)).make(
    `random/${seed}-${number}`,
    operations,
  );
}

class ProgramMaker {
  private readonly steps: ScriptStep[] = [];
  private readonly regions: RegionMade[] = [];
  private readonly files: FileMade[] = [];
  private alive = ['P'];
  private forks = 0;
  private serial = 0;
  private pins: Held[] = [];
  private transfers: Held[] = [];
  private pipes: Held[] = [];
  private usesUffd = false;
  private moved = 0;

  constructor(private readonly choices: ChoiceStream) {}

  make(name: string, operations: number): Script {
    this.setUp();
    while (this.steps.length < operations) this.step();
    return { name, topic: 'random', steps: this.steps.slice(0, operations) };
  }

  // ---- choosing --------------------------------------------------------------------------------------------------------

  private below(n: number): number {
    return this.choices.below(n);
  }

  private one<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** True once in `n` times. */
  private once(n: number): boolean {
    return this.below(n) === 0;
  }

  private weighted(weights: Weights): string {
    let left = this.below(Object.values(weights).reduce((sum, weight) => sum + weight, 0));
    for (const [name, weight] of Object.entries(weights)) {
      left -= weight;
      if (left < 0) return name;
    }
    return Object.keys(weights)[0];
  }

  private byte(): number {
    return 20 + this.below(230);
  }

  private do(by: string, op: string, a: OperationArguments = {}): void {
    this.steps.push({ by, op, a });
  }

  private newId(letter: string): string {
    this.serial++;
    return `${letter}${this.serial}`;
  }

  /** Pages that are worth looking at: the first ones, and both ends of a huge page. */
  private page(pages: number): number {
    if (pages <= 8) return this.below(pages);
    return Math.min(pages - 1, this.one([0, 1, 2, 3, 4, 100, 510, 511, 512, 513]));
  }

  private span({ name, pages, kind, isHuge }: RegionMade): { r: string; i: number; n: number } {
    if (kind.startsWith('hugetlb')) {
      const i = HUGE * this.below(pages / HUGE);
      return { r: name, i, n: this.once(3) ? pages - i : HUGE };
    }
    const i = this.page(pages);
    const n = isHuge ? this.one([1, 1, 2, 3, 64, HUGE, pages]) : this.one([1, 1, 1, 2, 3, pages]);
    return { r: name, i, n: Math.max(1, Math.min(n, pages - i)) };
  }

  // ---- the memory a program begins with ----------------------------------------------------------------------------------

  private setUp(): void {
    const kind = this.weighted({ small: 55, huge: 30, hugetlb: 15 });
    if (kind === 'hugetlb') this.map(this.once(3) ? 'hugetlbsh' : 'hugetlb', HUGE * (1 + this.below(2)));
    else this.map('anon', kind === 'small' ? this.one([2, 4, 8]) : this.one([HUGE, HUGE, 600, 2 * HUGE]));
    if (kind === 'huge') this.do('P', 'madvise', { r: 'A', adv: 'HUGEPAGE' });
    if (this.once(8)) this.do('P', 'madvise', { r: 'A', adv: 'MERGEABLE' });
    for (let page = 0; page < 3; page++) {
      if (!this.once(3))
        this.do('P', 'w', { r: 'A', i: Math.min(page, this.regions[0].pages - 1), v: this.once(4) ? 5 : page + 1 });
    }
    if (this.once(10)) {
      // Limits that are met now and then, and what is charged to the user.
      this.do('P', 'rlimit', { kb: this.one([32, 256, 65_536]) });
      this.do('P', 'dropcap');
    }
    const others = this.one([0, 1, 1, 1, 2]);
    for (let k = 0; k < others; k++) this.addRegion('P');
  }

  private map(kind: Kind, pages: number, file?: FileMade, prot?: string): void {
    const name = 'ABCDEFGH'[this.regions.length];
    this.do('P', 'mmap', {
      r: name,
      kind,
      ...(file === undefined ? {} : { f: file.name }),
      n: pages,
      ...(prot === undefined ? {} : { prot }),
    });
    this.regions.push({ name, kind, pages, isHuge: pages >= HUGE });
  }

  /** One more region, perhaps of a new file. */
  private addRegion(by: string): void {
    const kind = this.weighted({ anonsh: 3, fpriv: 4, fshared: 5, anon: 2, hugetlbsh: 1 });
    const before = this.steps.length;
    if (kind === 'fpriv' || kind === 'fshared') {
      const file = this.files.length > 0 && this.once(3) ? this.one(this.files) : this.newFile();
      this.map(
        kind,
        file.unit > 1 ? file.pages : this.one([file.pages, file.pages + 1]),
        file,
        this.once(6) ? 'r' : undefined,
      );
    } else if (kind === 'hugetlbsh') this.map(kind, HUGE);
    else if (kind === 'anonsh' && this.once(4)) this.map(kind, HUGE);
    else this.map(kind as Kind, 3);
    for (let k = before; k < this.steps.length; k++) this.steps[k] = { ...this.steps[k], by };
  }

  private newFile(): FileMade {
    const fs = this.weighted({ ext4: 6, tmpfs: 3, memfd: 2, hugetlb: 1 });
    const unit = fs === 'hugetlb' ? HUGE : 1;
    const pages = unit * (unit > 1 ? 1 : this.one([1, 3, 3, 20]));
    const file = { name: `F${this.files.length}`, pages, unit };
    this.files.push(file);
    const isHole = unit === 1 && this.once(6);
    this.do('P', 'file', {
      f: file.name,
      fs,
      n: pages,
      ...(unit > 1 ? {} : { v: 16 }),
      ...(isHole ? { hole: 1 } : {}),
    });
    return file;
  }

  // ---- one more step -----------------------------------------------------------------------------------------------------

  private step(): void {
    const { alive } = this;
    const by = alive.length === 1 || this.below(100) < 60 ? alive[0] : this.one(alive.slice(1));
    const region = this.below(100) < 55 ? this.regions[0] : this.one(this.regions);
    this.act(this.weighted(this.weights(by)), by, region);
  }

  private weights(by: string): Weights {
    const weights: Weights = {
      w: 18,
      r: 10,
      dior: 3,
      diow: 2,
      madvise: 16,
      mprotect: 5,
      munmap: 3,
      remap: 2,
      mlock: 2,
      munlock: 2,
      mremap: 2,
      uffdwp: 2,
      movepages: 1,
      compact: 1,
      ksm: 1,
      dropcaches: 1,
    };
    if (this.pins.length + this.transfers.length + this.pipes.length < HELD_MOST)
      Object.assign(weights, { pin: 9, dmain: 4, dmaout: 3, vmsplice: 4 });
    if (this.pins.some((held) => held.by === by)) Object.assign(weights, { unpin: 6, devw: 8, devr: 4 });
    if (this.transfers.some((held) => held.by === by)) Object.assign(weights, { dmaend: 9 });
    if (this.pipes.some((held) => held.by === by)) Object.assign(weights, { pipedrain: 5 });
    if (this.forks < CHILDREN_MOST) Object.assign(weights, { fork: 7 });
    if (this.alive.length > 1) Object.assign(weights, { exit: 3, pvr: 2, pvw: 2, memr: 1, memw: 2 });
    if (this.files.length > 0)
      Object.assign(weights, { fsync: 3, fread: 2, fwrite: 2, trunc: 2, punch: 2, msync: 2, fadv: 1, sfr: 1 });
    if (this.regions.length < REGIONS_MOST) Object.assign(weights, { region: 1 });
    return weights;
  }

  private act(op: string, by: string, region: RegionMade): void {
    const page = this.page(region.pages);
    const at = { r: region.name, i: page };
    switch (op) {
      case 'w': {
        this.do(by, op, { ...at, v: this.byte() });
        return;
      }
      case 'r': {
        this.do(by, op, at);
        return;
      }
      case 'pin':
      case 'dmain':
      case 'dmaout':
      case 'vmsplice': {
        this.take(op, by, region);
        return;
      }
      case 'unpin':
      case 'devw':
      case 'devr': {
        this.useBuffer(op, by);
        return;
      }
      case 'dmaend':
      case 'pipedrain': {
        this.finish(op, by);
        return;
      }
      case 'dior':
      case 'diow': {
        this.do(by, op, { ...this.shortSpan(region), ...(op === 'dior' ? { v: this.byte() } : {}) });
        return;
      }
      case 'madvise': {
        this.advise(by, region);
        return;
      }
      case 'mprotect': {
        this.do(by, op, { ...this.span(region), prot: this.one(['r', 'rw', 'rw', 'rw', 'none']) });
        return;
      }
      case 'munmap':
      case 'mlock':
      case 'munlock': {
        this.do(by, op, op === 'mlock' && this.once(4) ? { ...this.span(region), onfault: 1 } : this.span(region));
        return;
      }
      case 'remap': {
        this.do(by, 'mmap', { ...this.span(this.regions[0]), kind: this.regions[0].kind });
        return;
      }
      case 'mremap': {
        this.move(by, region);
        return;
      }
      case 'uffdwp': {
        this.protectByUserfault(by, region);
        return;
      }
      case 'movepages': {
        this.do(by, op, this.shortSpan(region));
        return;
      }
      case 'fork': {
        this.fork(by);
        return;
      }
      case 'exit': {
        this.exit();
        return;
      }
      case 'pvr':
      case 'pvw':
      case 'memr':
      case 'memw': {
        this.do(by, op, { t: this.one(this.alive), ...at, ...(op.endsWith('w') ? { v: this.byte() } : {}) });
        return;
      }
      case 'region': {
        this.addRegion(by);
        return;
      }
      case 'msync': {
        this.do(by, op, this.span(region));
        return;
      }
      case 'compact':
      case 'ksm': {
        this.do(by, op);
        return;
      }
      case 'dropcaches': {
        this.do(by, op, { mode: this.one([1, 3]) });
        return;
      }
      default: {
        this.actOnFile(op, by);
        return;
      }
    }
  }

  /** At most 8 pages: what fits a pipe, a direct I/O, a request. */
  private shortSpan(region: RegionMade): { r: string; i: number; n: number } {
    const span = this.span(region);
    return { ...span, n: Math.min(span.n, 8) };
  }

  private take(op: 'pin' | 'dmain' | 'dmaout' | 'vmsplice', by: string, region: RegionMade): void {
    const id = this.newId(op === 'pin' ? 'b' : op === 'vmsplice' ? 'q' : 'd');
    const span = op === 'pin' ? this.span(region) : this.shortSpan(region);
    this.do(by, op, { id, ...span, ...(op === 'vmsplice' && this.once(6) ? { gift: 1 } : {}) });
    const list = op === 'pin' ? this.pins : op === 'vmsplice' ? this.pipes : this.transfers;
    list.push({ id, by, pages: span.n });
  }

  private useBuffer(op: 'unpin' | 'devw' | 'devr', by: string): void {
    const buffer = this.one(this.pins.filter((held) => held.by === by));
    if (op === 'unpin') {
      this.pins = this.pins.filter((held) => held !== buffer);
      this.do(by, op, { id: buffer.id });
      return;
    }
    const p = this.page(buffer.pages);
    this.do(by, op, { id: buffer.id, p, ...(op === 'devw' ? { v: this.byte() } : {}) });
  }

  private finish(op: 'dmaend' | 'pipedrain', by: string): void {
    const held = this.one((op === 'dmaend' ? this.transfers : this.pipes).filter((each) => each.by === by));
    this.transfers = this.transfers.filter((each) => each !== held);
    this.pipes = this.pipes.filter((each) => each !== held);
    this.do(by, op, { id: held.id, ...(op === 'dmaend' ? { v: this.byte() } : {}) });
  }

  private advise(by: string, region: RegionMade): void {
    const weights: Weights = {
      DONTNEED: 8,
      PAGEOUT: 9,
      COLD: 2,
      FREE: 4,
      POPULATE_READ: 3,
      POPULATE_WRITE: 4,
      DONTFORK: 1,
      DOFORK: 1,
      WIPEONFORK: 1,
      KEEPONFORK: 1,
      REMOVE: 2,
      WILLNEED: 1,
      DONTNEED_LOCKED: 1,
      GUARD_INSTALL: 2,
      GUARD_REMOVE: 2,
      MERGEABLE: 1,
      UNMERGEABLE: 1,
      COLLAPSE: region.isHuge ? 5 : 1,
      HUGEPAGE: region.isHuge ? 2 : 1,
      NOHUGEPAGE: 1,
    };
    const adv = this.weighted(weights);
    this.do(by, 'madvise', adv === 'COLLAPSE' ? { r: region.name, adv } : { ...this.span(region), adv });
  }

  private move(by: string, region: RegionMade): void {
    if (region.kind.startsWith('hugetlb') || this.regions.length >= REGIONS_MOST || this.moved === 2) return;
    this.moved++;
    const { r, i, n } = this.span(region);
    const name = 'ABCDEFGH'[this.regions.length];
    const keeps = region.kind === 'anon' && this.once(4);
    this.do(by, 'mremap', { r, i, n, to: name, ...(keeps ? { dontunmap: 1 } : {}) });
    this.regions.push({ ...region, name, pages: n, isHuge: n >= HUGE });
  }

  private protectByUserfault(by: string, region: RegionMade): void {
    if (region.kind !== 'anon') return;
    // Whoever asks first owns the one userfaultfd that a scenario has.
    if (!this.usesUffd && by !== 'P') return;
    this.usesUffd = true;
    this.do(by, 'uffdwp', { ...this.span(region), ...(this.once(4) ? { clear: 1 } : {}) });
  }

  private fork(by: string): void {
    this.forks++;
    const c = `C${this.forks}`;
    this.do(by, 'fork', { c });
    this.alive = [...this.alive, c];
  }

  /** A child ends, half of the time with its devices still at work. */
  private exit(): void {
    const by = this.one(this.alive.slice(1));
    const isOrderly = this.once(2);
    if (isOrderly) {
      for (const { id } of this.pins.filter((held) => held.by === by)) this.do(by, 'unpin', { id });
      for (const { id } of this.transfers.filter((held) => held.by === by))
        this.do(by, 'dmaend', { id, v: this.byte() });
      for (const { id } of this.pipes.filter((held) => held.by === by)) this.do(by, 'pipedrain', { id });
    }
    const isOther = (held: Held): boolean => held.by !== by;
    this.pins = this.pins.filter(isOther);
    this.transfers = this.transfers.filter(isOther);
    this.pipes = this.pipes.filter(isOther);
    this.alive = this.alive.filter((name) => name !== by);
    this.do(by, 'exit');
  }

  private actOnFile(op: string, by: string): void {
    const { name: f, pages, unit } = this.one(this.files);
    const i = unit * this.below(Math.max(1, pages / unit));
    switch (op) {
      case 'fread': {
        this.do(by, op, { f, i });
        return;
      }
      case 'fwrite':
        if (unit > 1) return;
        {
          this.do(by, op, { f, i: this.once(5) ? pages : i, v: this.byte() });
          return;
        }
      case 'trunc': {
        this.do(by, op, { f, n: unit * this.below(pages / unit + 2) });
        return;
      }
      case 'punch': {
        this.do(by, op, { f, i, n: unit * (1 + this.below(2)) });
        return;
      }
      default: {
        this.do(by, op, { f });
        return;
      }
    }
  }
}
