/** What an operation of the recordings is given: the machine, the process that acts, and the arguments of the step. */
import type { OperationArguments, Outcome } from './recording';
import type { Actor, Region, ScenarioMachine } from './scenario-machine';

export const PAGE = 4096;
/** Pages of an io_uring: SQ and CQ in one, and the SQ entries. Charged to its user. */
export const RING_PAGES = 2;

/** Gives its outcome; throws `UnknownArgument` for an argument that it does not know. */
export type Operation = (machine: ScenarioMachine, by: Actor, call: Call) => Outcome;

/** An argument that no one here knows; the message names it, and it becomes a disagreement: `unknown kind x`. */
export class UnknownArgument extends Error {}

/** The arguments of one step, as the recorder reads them. */
export class Call {
  constructor(
    private readonly machine: ScenarioMachine,
    private readonly a: OperationArguments,
  ) {}

  has(name: string): boolean {
    return Object.hasOwn(this.a, name);
  }

  number(name: string, otherwise: number): number {
    const value = this.a[name] as string | number | undefined;
    return value === undefined ? otherwise : Number(value);
  }

  text(name: string): string {
    return String((this.a[name] as string | number | undefined) ?? '');
  }

  /** The region `r`, or null when it was never made. */
  get region(): Region | null {
    return this.has('r') ? this.machine.region(this.text('r')) : null;
  }

  /** Address of page `i` of the region. */
  get address(): number {
    const { region } = this;
    return region === null ? 0 : region.base + this.number('i', 0) * PAGE;
  }

  /** `n` pages, or all from page `i` on, in bytes. */
  get length(): number {
    const n = this.number('n', 0);
    if (n !== 0) return n * PAGE;
    const { region } = this;
    return region === null ? 0 : (region.pages - this.number('i', 0)) * PAGE;
  }
}
