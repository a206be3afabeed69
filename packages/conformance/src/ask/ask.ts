/**
 * Asking the emulated kernel: runs a scenario written by hand and notes, step by step, what it gave, what acted, and how
 * memory looks afterwards, in the terms of the recordings.
 *
 * What acted is told by the mechanisms themselves (`Memory.mechanisms`) and by GUP's refusals (`gup.why()`); nothing is
 * guessed from the outcome.
 */
import { MECHANISMS, linux618, splitPlace } from '@pincushion/mm';
import type { KernelProfile, MechanismName } from '@pincushion/mm';
import { contradictionsIn } from '../contradictions';
import type { Outcome } from '../recording';
import { ScenarioMachine } from '../scenario-machine';
import type { Script, ScriptStep } from '../script/script';
import { emptySnapshot } from '../snapshot';
import type { Snapshot } from '../snapshot';

/** A mechanism that acted in a step, on one page or on several alike. */
export interface Acted {
  readonly mechanism: MechanismName;
  /** Ids of rules, and the kernel's function. */
  readonly rule: string;
  readonly sentence: string;
  /** Where: `P A[0]`, `P A[0..3]`; empty where no process acted. */
  readonly where: string;
  /** The frame it concerns, and the other one: the page that was copied, for example. Empty where there is none. */
  readonly frame: string;
  readonly other: string;
}

export interface AskedStep {
  readonly step: ScriptStep;
  readonly outcome: Outcome;
  /** The rule by which GUP refused something in this step, with the sentence; else empty. */
  readonly why: string;
  readonly acted: readonly Acted[];
  /** Pages pinned and unpinned during the step. */
  readonly pinned: number;
  readonly unpinned: number;
  readonly before: Snapshot;
  readonly after: Snapshot;
  /** What memory says against itself; looked for only when asked. */
  readonly contradictions: readonly string[];
}

export interface AskOptions {
  readonly profile?: KernelProfile;
  /** Looks after each step whether anything in memory contradicts itself. */
  readonly paranoid?: boolean;
}

/** Runs the scenario on a fresh machine to its end. */
export function ask(script: Script, options: AskOptions = {}): readonly AskedStep[] {
  const { profile = linux618, paranoid = false } = options;
  const machine = new ScenarioMachine({ profile, ledger: paranoid ? 'full' : 'counts' });
  const { memory, observer } = machine;
  const { vmstat, gup } = memory;
  const witness = new Witness(machine);
  const steps: AskedStep[] = [];
  let before = emptySnapshot();
  for (const step of script.steps) {
    const [acquired, released, whyBefore] = [vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased, gup.why()];
    const outcome = machine.perform(step.by, step.op, step.a);
    const pinned = vmstat.nrFollPinAcquired - acquired;
    const unpinned = vmstat.nrFollPinReleased - released;
    const after = observer.snapshot();
    const why = gup.why() === whyBefore ? '' : gup.why();
    const contradictions = paranoid ? contradictionsIn(machine) : [];
    steps.push({ step, outcome, why, acted: witness.take(), pinned, unpinned, before, after, contradictions });
    before = after;
  }
  return steps;
}

/** What one mechanism said, with the names that frames had at that moment. */
interface Statement {
  readonly mechanism: number;
  readonly frame: number;
  readonly name: string;
  readonly other: string;
  readonly place: number;
}

/** Listens to the mechanisms of a machine, a step at a time. */
class Witness {
  private statements: Statement[] = [];

  constructor(private readonly machine: ScenarioMachine) {
    const { observer, memory } = machine;
    memory.mechanisms.listen((_point, mechanism, frame, other, place) => {
      const name = frame === 0 ? '' : observer.nameOf(frame);
      this.statements.push({ mechanism, frame, name, other: other === 0 ? '' : observer.nameOf(other), place });
      return undefined;
    });
  }

  /** What acted since the last call; pages that follow each other are put together. Frames that were new have names now. */
  take(): readonly Acted[] {
    const runs: Statement[][] = [];
    for (const statement of this.statements) {
      const run = runs.find((each) => continues(each, statement));
      if (run === undefined) runs.push([statement]);
      else run.push(statement);
    }
    this.statements = [];
    return runs.map((run) => this.acted(run));
  }

  private acted(run: readonly Statement[]): Acted {
    const [first] = run;
    const last = run[run.length - 1];
    const { name, rule, sentence } = MECHANISMS[first.mechanism];
    const isMany = run.length > 1;
    return {
      mechanism: name,
      rule,
      sentence: sentence.replace('{other}', isMany ? 'each page' : first.other || 'a page that nobody maps'),
      where: this.where(first.place, last.place),
      frame: listed(run.map((each) => this.nameOf(each))),
      other: isMany ? '' : first.other,
    };
  }

  /** As it was called when it was spoken of; a frame that was new then has got its name since. */
  private nameOf({ frame, name }: Statement): string {
    return name !== '' || frame === 0 ? name : this.machine.observer.nameOf(frame);
  }

  /** `P A[0..3]`. */
  private where(first: number, last: number): string {
    if (first === 0) return '';
    const { mmId, page } = splitPlace(first);
    const process = this.machine.processes.find(({ mm }) => mm.id === mmId)?.name ?? 'a child';
    const region = this.machine.regionAt(page * PAGE);
    if (region === null) return process;
    const from = page - region.base / PAGE;
    const to = from + (last - first);
    return `${process} ${region.name}[${from}${to > from ? `..${to}` : ''}]`;
  }
}

const PAGE = 4096;

/** Names of frames that are told one by one. */
const NAMES_MOST = 3;

function listed(names: readonly string[]): string {
  const known = names.filter((name) => name !== '');
  if (known.length <= NAMES_MOST) return known.join(', ');
  return `${known.slice(0, NAMES_MOST).join(', ')} and ${known.length - NAMES_MOST} more`;
}

/** The same mechanism at the page that follows, or again where no process acted. */
function continues(run: readonly Statement[], { mechanism, place }: Statement): boolean {
  const last = run[run.length - 1];
  return last.mechanism === mechanism && place === (last.place === 0 ? 0 : last.place + 1);
}
