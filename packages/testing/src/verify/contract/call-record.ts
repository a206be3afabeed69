/**
 * The record of a driver's life: which kernel service it called, in which context, from which of its entry points, with
 * what answer; what each call made it owe, and where it gave that back.
 *
 * One record a world. It changes nothing but this: it can refuse one call, as a kernel that is short of something does.
 */
import type { PincushionError, Task, World } from '@pincushion/driver';
import { Context } from '@pincushion/driver';
import { ENTRY_POINTS } from './kernel-calls';
import type { Refusal } from './kernel-calls';

type ContextName = keyof typeof Context;

/** The kernel calls the driver, or what was called before goes on. */
export interface EntryStep {
  readonly kind: 'entry';
  readonly context: ContextName;
  /** `ioctl`, `interrupt 0 'done'`. */
  readonly name: string;
  /** `file_operations.unlocked_ioctl`. */
  readonly linux: string;
  /** It had slept, or something else had run inside it. */
  readonly again: boolean;
}

/** The driver calls the kernel. */
export interface CallStep {
  readonly kind: 'call';
  readonly context: ContextName;
  /** `gup.pinRange(range, FOLL_WRITE)`. */
  readonly call: string;
  /** `pin_user_pages_fast`. */
  readonly linux: string;
  /** What the driver has now; empty when nothing. */
  readonly gives: string;
  /** The C function that it owes now; empty when none. */
  readonly owes: string;
  /** The step of the record that gave this back; null when it never was. */
  returnedIn: number | null;
  /** The steps of the record whose debt this one settles. */
  readonly returns: readonly number[];
  /** `-ENOMEM`, `null`, `throws`; empty when all went well. */
  refused: string;
}

export type Step = EntryStep | CallStep;

/** Which call is to be refused: the n-th, from 1, of all that can be, or of those that answer by an exception. */
export interface RefusedCall {
  readonly nth: number;
  readonly of: 'all' | 'throws';
}

/** An entry point that the driver is in. */
interface Entry {
  readonly name: string;
  readonly linux: string;
  shown: boolean;
}

const CONTEXT_NAMES = Object.keys(Context) as ContextName[];

export class CallRecord {
  readonly steps: Step[] = [];
  /** Calls so far that could be refused, and those among them that answer by an exception. */
  readonly refusable = { all: 0, throws: 0 };
  /** The exception of the call that was refused. */
  refusal: PincushionError | null = null;
  /** The ends of bios are recorded: of these, which disks were given. */
  hearsBios = false;
  readonly bios = new Set<number>();
  private readonly inTasks = new Map<unknown, Entry[]>();
  private readonly inPlainCode: Entry[] = [];
  /** What is owed, by the thing that has to be given back. */
  private readonly debts = new Map<unknown, number[]>();
  private last: Entry | null = null;

  constructor(
    readonly world: World,
    private readonly refused: RefusedCall | null = null,
  ) {}

  // --- entry points -------------------------------------------------------------------------------------------------

  /** A task of the driver that the kernel runs. */
  *task<T>(name: string, linux: string, run: () => Task<T>): Task<T> {
    const { current } = this.world;
    const entries = this.inTasks.get(current) ?? [];
    this.inTasks.set(current, entries);
    entries.push({ name, linux, shown: false });
    try {
      return yield* run();
    } finally {
      entries.pop();
    }
  }

  /** Plain code of the driver that the kernel runs. */
  plain<T>(name: string, linux: string, run: () => T): T {
    this.inPlainCode.push({ name, linux, shown: false });
    try {
      return run();
    } finally {
      this.inPlainCode.pop();
    }
  }

  // --- calls --------------------------------------------------------------------------------------------------------

  /** Whether this call is the one to be refused. */
  refuses(how: Refusal): boolean {
    const { refusable, refused } = this;
    refusable.all++;
    if (how === 'throws') refusable.throws++;
    if (refused === null || (refused.of === 'throws' && how !== 'throws')) return false;
    return refusable[refused.of] === refused.nth;
  }

  /** The driver calls the kernel. `returns`: what it gives back by that. */
  call(call: string, linux: string, gives = '', owes = '', returns: unknown = null): CallStep {
    this.showEntry();
    const settled = this.debts.get(returns) ?? [];
    if (settled.length > 0) this.debts.delete(returns);
    for (const debt of settled) (this.steps[debt] as CallStep).returnedIn = this.steps.length;
    const step: CallStep = {
      kind: 'call',
      context: this.context(),
      call,
      linux,
      gives,
      owes,
      returnedIn: null,
      returns: settled,
      refused: '',
    };
    this.steps.push(step);
    return step;
  }

  /** What a call has given, and what has to be given back one day. */
  owe(step: CallStep, thing: unknown): void {
    const at = this.steps.indexOf(step);
    const known = this.debts.get(thing);
    if (known === undefined) this.debts.set(thing, [at]);
    else known.push(at);
  }

  private showEntry(): void {
    const entry = this.inPlainCode.at(-1) ?? this.inTasks.get(this.world.current)?.at(-1) ?? null;
    if (entry === this.last) return;
    this.last = entry;
    const { name, linux } = entry ?? { name: 'what the device owns, newest first', linux: ENTRY_POINTS.devres };
    this.steps.push({ kind: 'entry', context: this.context(), name, linux, again: entry?.shown ?? false });
    if (entry !== null) entry.shown = true;
  }

  private context(): ContextName {
    return CONTEXT_NAMES[this.world.contexts.current];
  }
}
