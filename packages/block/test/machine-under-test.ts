/** Set-up of the block tests: a small machine, a process with a buffer, and a disk whose device the test plays. */
import { BioOp, BlkStatus, DirectIo, Disk, bioEndIo } from '@pincushion/block';
import type { Bio, QueueLimits } from '@pincushion/block';
import { MAP_ANONYMOUS, MAP_PRIVATE, Memory, PAGE_SIZE, PROT_READ, PROT_WRITE } from '@pincushion/mm';
import type { LedgerMode, MemoryOptions, Mm } from '@pincushion/mm';
import { Context, World } from '@pincushion/sim';
import type { Finding, MaySleep } from '@pincushion/sim';

const LIMITS: QueueLimits = { logicalBlockBytes: 512, maxBytes: 128 * 1024, maxPages: 33 };

/** A disk with real content. Bios wait in `held` until `finish`, or end by themselves after `latencyNs`. */
class RamDisk extends Disk {
  readonly content: Uint8Array;
  readonly held: Bio[] = [];
  readonly seen: string[] = [];
  latencyNs = -1;
  private readonly memory: Memory;

  constructor(memory: Memory, sectors: number, limits: Partial<QueueLimits> = {}) {
    super('ram0', sectors, { ...LIMITS, ...limits });
    this.memory = memory;
    this.content = new Uint8Array(sectors * 512);
  }

  override queueBio(bio: Bio): undefined {
    this.seen.push(`${bio.op} ${bio.sector}+${bio.bytes / 512}`);
    if (this.latencyNs < 0) {
      this.held.push(bio);
    } else {
      this.endAfter(this.latencyNs, bio, BlkStatus.ok);
    }
    return undefined;
  }

  /** Moves the data of a bio and ends it. */
  finish(bio: Bio, status: number = BlkStatus.ok): void {
    if (status === BlkStatus.ok) this.transfer(bio);
    bioEndIo(bio, status);
  }

  /** As `finish` for the bio held longest, in interrupt context. */
  interrupt(status: number = BlkStatus.ok): void {
    const bio = this.held.shift();
    if (bio === undefined) throw new Error('no bio is held');
    this.endAfter(0, bio, status);
    this.memory.world.run();
  }

  private endAfter(ns: number, bio: Bio, status: number): void {
    this.memory.world.after(ns, Context.hardirq, () => {
      this.finish(bio, status);
      return undefined;
    });
  }

  private transfer(bio: Bio): void {
    if (bio.op === BioOp.writeZeroes) this.content.fill(0, bio.sector * 512, bio.sector * 512 + bio.bytes);
    if (bio.op !== BioOp.read && bio.op !== BioOp.write) return;
    let at = bio.sector * 512;
    for (let i = 0; i < bio.pageCount; i++) {
      const { page, offset, length } = bio.bioVec(i);
      if (bio.op === BioOp.read) this.memory.bytes.write(page, offset, this.content, at, length);
      else this.memory.bytes.read(page, offset, this.content, at, length);
      at += length;
    }
    expect(at).toBe(bio.sector * 512 + bio.bytes);
  }
}

export interface Bench {
  world: World;
  memory: Memory;
  mm: Mm;
  disk: RamDisk;
  io: DirectIo;
  /** `token:result` of requests that are done. */
  done: string[];
  run: (result: MaySleep) => number;
  /** A fresh anonymous buffer; touched unless said otherwise. */
  buffer: (pages: number, touch?: boolean) => number;
  /** Pins held now. */
  pinned: () => number;
  codes: () => string[];
  finding: (code: string) => Finding;
}

export function bench(
  limits: Partial<QueueLimits> = {},
  ledger: LedgerMode = 'full',
  sectors = 4096,
  options: Partial<MemoryOptions> = {},
): Bench {
  const world = new World({ seed: 1 });
  const memory = new Memory(world, { ramBytes: 64 * 1024 * 1024, ledger, ...options });
  const mm = memory.createMm('program');
  const disk = new RamDisk(memory, sectors, limits);
  const io = new DirectIo(memory, disk, mm, 'program');
  const done: string[] = [];
  io.onDone = (token, result) => {
    done.push(`${token}:${result}`);
    return undefined;
  };
  const run = (result: MaySleep): number => (typeof result === 'number' ? result : world.complete(result));
  return {
    world,
    memory,
    mm,
    disk,
    io,
    done,
    run,
    buffer(pages, touch = true) {
      const address = run(mm.mmap(pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
      if (touch) run(mm.write(address, new Uint8Array(pages * PAGE_SIZE).fill(0xaa)));
      return address;
    },
    pinned: () => memory.ledger.counters.pinnedNow,
    codes: () => world.findings.all.map((finding) => finding.code),
    finding(code) {
      const found = world.findings.all.filter((finding) => finding.code === code);
      expect(found).toHaveLength(1);
      return found[0];
    },
  };
}

/** `n` bytes that differ from each other and from those of another `seed`. */
export function pattern(n: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(n);
  for (let i = 0; i < n; i++) bytes[i] = (i * 7 + seed * 31 + (i >> 8)) & 0xff;
  return bytes;
}
