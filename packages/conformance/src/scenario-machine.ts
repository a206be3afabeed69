/**
 * A fresh machine for one scenario: a world, memory, the processes, regions, files and devices that its steps name.
 *
 * Regions lie at fixed, 1 GiB aligned addresses in the order in which they are named. What a process opens (rings, pipes)
 * is inherited by its children and ends with the last process that has it, as file descriptors do.
 * What each operation does is in `operations/`, one file for each kernel path.
 */
import type { FileSystem } from '@pincushion/fs';
import { World, errnoName } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { Mm, User } from '@pincushion/mm';
import { bootMemory, mountDisk, startProcess } from './machine-set-up';
import type { SetUp } from './machine-set-up';
import { OBSERVED_PAGES, Observer } from './observer';
import type { ObservedHold, ObservedProcess, ObservedRegion } from './observer';
import type { ObservedMemory } from './observed-memory';
import type { OperationArguments, Outcome, ProcessAccounts } from './recording';
import { DirectIoFiles } from './direct-io';
import { Call, UnknownArgument } from './operation';
import { operations } from './operations';

const FIRST_REGION = 0x10000000000;
const REGION_STRIDE = 0x40000000;

/** Something a process has open; closed with the last process that has it. */
export interface Opened {
  close(): void;
  /** What it is charged for at present. */
  readonly charge?: Charge;
}

/** Pages of memory that are accounted for something open: to a user (null with CAP_IPC_LOCK), and to an address space. */
export interface Charge {
  readonly user: User | null;
  readonly userPages: number;
  readonly mm: Mm;
  readonly mmPages: number;
}

/** A process of a scenario. */
export class Actor implements ObservedProcess {
  alive = true;
  readonly opened = new Set<Opened>();

  constructor(
    private readonly machine: ScenarioMachine,
    readonly name: string,
    readonly mm: Mm,
  ) {}

  accounts(): ProcessAccounts {
    const { mm } = this;
    const accounts = { pin: mm.pinnedVm, lck: mm.lockedVm, hp: mm.hasPinned ? 1 : 0 };
    return this.machine.dropped ? { ...accounts, ul: mm.user.lockedVm } : accounts;
  }
}

export class Region implements ObservedRegion {
  readonly touched = new Uint8Array(OBSERVED_PAGES);

  constructor(
    readonly name: string,
    readonly base: number,
    readonly pages: number,
  ) {}
}

export class ScenarioMachine {
  readonly world = new World();
  readonly memory: ObservedMemory;
  readonly processes: Actor[] = [];
  readonly regions: Region[] = [];
  /** Things by name of the kinds that operations make: `file`, `pin`, `pipe`, `transfer`. */
  private readonly things = new Map<string, unknown>();
  readonly holds: ObservedHold[] = [];
  /** Some process gave up its capability: from now on the user's account is recorded. */
  dropped = false;
  readonly observer: Observer;
  private mounted: FileSystem | null = null;
  private directFiles: DirectIoFiles | null = null;

  constructor(setUp: SetUp = {}) {
    this.memory = bootMemory(this.world, setUp);
    this.processes.push(new Actor(this, 'P', startProcess(this.memory, 'P')));
    this.observer = new Observer(this.memory, this);
  }

  /** A file system on a RAM disk; mounted when a file is made on it. */
  get fileSystem(): FileSystem {
    return (this.mounted ??= mountDisk(this.memory));
  }

  /** Files on it for direct I/O. */
  get directIo(): DirectIoFiles {
    return (this.directFiles ??= new DirectIoFiles((result) => this.settle(result), this.fileSystem));
  }

  /** Does one step. */
  perform(by: string, op: string, a: OperationArguments): Outcome {
    const actor = this.process(by);
    if (actor === null || !actor.alive) return { res: 'NOPROC' };
    if (!Object.hasOwn(operations, op)) return { res: `unknown operation ${op}` };
    const call = new Call(this, a);
    let outcome: Outcome;
    try {
      outcome = operations[op](this, actor, call);
    } catch (error) {
      if (!(error instanceof UnknownArgument)) throw error;
      outcome = { res: `unknown ${error.message}` };
    }
    this.touch(call);
    return outcome;
  }

  process(name: string): Actor | null {
    return this.processes.find((process) => process.name === name) ?? null;
  }

  region(name: string): Region | null {
    return this.regions.find((region) => region.name === name) ?? null;
  }

  /** The next region; its address is its place in the order. */
  addRegion(name: string, pages: number): Region {
    const region = new Region(name, FIRST_REGION + this.regions.length * REGION_STRIDE, pages);
    this.regions.push(region);
    return region;
  }

  /** The region whose gigabyte an address lies in. */
  regionAt(address: number): Region | null {
    return this.regions[Math.floor((address - FIRST_REGION) / REGION_STRIDE)] ?? null;
  }

  /** Remembers something that later steps name; the newest of a name counts. */
  keep(kind: string, name: string, thing: unknown): void {
    this.things.set(`${kind} ${name}`, thing);
  }

  find(kind: string, name: string): unknown {
    return this.things.get(`${kind} ${name}`);
  }

  /** The frames that `pages` pages from `address` on show to a process now; 0 where there is none. */
  framesAt(mm: Mm, address: number, pages: number): number[] {
    return this.observer.framesAt(mm, address, pages);
  }

  /** Runs a call that may sleep to its end. */
  settle(result: MaySleep): number {
    return this.world.settle(result);
  }

  /** A result as the recordings write it: `ok` or the name of the errno. */
  ok(result: MaySleep): Outcome {
    const value = this.settle(result);
    return { res: value < 0 ? errnoName(value) : 'ok' };
  }

  /** A number, or the name of the errno. */
  value(result: number): Outcome {
    return { res: result < 0 ? errnoName(result) : result };
  }

  /** The process forks; its open things are open in the child, too. */
  addProcess(parent: Actor, name: string, mm: Mm): Actor {
    const child = new Actor(this, name, mm);
    for (const thing of parent.opened) child.opened.add(thing);
    this.processes.push(child);
    return child;
  }

  /** What a process has open is closed where nobody else has it. */
  closeAll(actor: Actor): void {
    const gone = [...actor.opened];
    actor.opened.clear();
    for (const thing of gone) if (!this.processes.some((process) => process.opened.has(thing))) thing.close();
  }

  /** Pages that a step names by `i` get names when they are parts of a large folio. */
  private touch(call: Call): void {
    const region = call.region;
    if (region === null || !call.has('i')) return;
    const first = call.number('i', 0);
    const end = first + Math.min(call.number('n', 1), 4);
    for (let page = first; page < end && page < OBSERVED_PAGES; page++) region.touched[page] = 1;
  }
}
