/**
 * Why a call was refused: the rule, and the facts it was decided by. Asked with a scenario in the language of `ask`, of
 * which the refused steps are explained, or with a module that has a program, of which the result is.
 */
import type { Acted, AskedStep, Script, ScriptStep } from '@pincushion/conformance';
import { ask, frameText, outcomeText, pagesOf, sentence } from '@pincushion/conformance';
import type { ExampleProgram } from '@pincushion/driver';
import { Machine } from '@pincushion/machine';
import type { KernelProfile, Vma } from '@pincushion/mm';
import { PAGE_SIZE, VM_EXEC, VM_READ, VM_SHARED, VM_WRITE } from '@pincushion/mm';
import { UsageError, World, errnoName } from '@pincushion/sim';
import { NodeHostFiles } from '../host-files';
import { loadModule } from '../load-module';
import { describeMachine } from '../machine-file';

export interface Refusal {
  /** The step, or the program. */
  readonly what: string;
  /** `EFAULT`. */
  readonly outcome: string;
  /** Rule and sentence; empty when no rule of GUP refused. */
  readonly rule: string;
  readonly facts: readonly string[];
}

/** Operations that decide what an area allows. */
const SHAPING: ReadonlySet<string> = new Set(['mmap', 'munmap', 'mprotect', 'mremap', 'madvise', 'mlock', 'uffdwp']);

/** The refused steps of a scenario, in their order. */
export function refusedSteps(script: Script, profile: KernelProfile): readonly Refusal[] {
  const steps = ask(script, { profile });
  return steps.flatMap((asked, index) => (isRefused(asked) ? [explainStep(asked, index, steps)] : []));
}

function isRefused({ outcome: { res } }: AskedStep): boolean {
  return typeof res === 'string' && /^(E[A-Z0-9]+|SIG[A-Z]+)$/.test(res);
}

function explainStep(asked: AskedStep, index: number, steps: readonly AskedStep[]): Refusal {
  const { step, outcome, why, acted } = asked;
  return {
    what: `step ${index + 1}: ${inWords(asked)}`,
    outcome: outcomeText(outcome),
    rule: why,
    facts: [
      ...history(step, steps.slice(0, index)),
      ...pagesBefore(asked),
      ...accountsBefore(asked),
      ...acted.map((each) => actedText(each)),
    ],
  };
}

function inWords({ step, outcome }: AskedStep): string {
  return sentence({ ...step, ...outcome, s: { v: {}, f: {}, m: {} } });
}

/** The earlier steps that made the area what it is. */
function history({ a }: ScriptStep, earlier: readonly AskedStep[]): readonly string[] {
  const region = Object.hasOwn(a, 'r') ? a['r'] : null;
  return earlier.flatMap((asked, index) => {
    const { op, a: given } = asked.step;
    const concerns = SHAPING.has(op) && (given['r'] === region || given['to'] === region);
    return concerns ? [`by step ${index + 1}: ${inWords(asked)}`] : [];
  });
}

/** The pages that the step was about, as they were, with their frames. */
function pagesBefore({ step, before }: AskedStep): readonly string[] {
  const region = arg(step, 'r', '');
  const view = before.views.get(step.by)?.get(region);
  if (view === undefined) return region === '' ? [] : [`${step.by} maps nothing as ${region}`];
  const first = Number(arg(step, 'i', '0'));
  const pages = pagesOf(view).slice(first, first + Number(arg(step, 'n', '1')));
  if (pages.length === 0) return [`${region} ends before page ${first}`];
  return pages.slice(0, PAGES_MOST).map(({ what, flags }, k) => {
    const state = before.frames.get(what);
    const entry = what === '.' ? 'nothing is mapped' : `${what}${flags === '' ? '' : `, entry ${flags}`}`;
    return `before: ${step.by} ${region}[${first + k}]: ${entry}${state === undefined ? '' : ` · ${frameText(state)}`}`;
  });
}

const PAGES_MOST = 8;

function accountsBefore({ step, before }: AskedStep): readonly string[] {
  const accounts = before.accounts.get(step.by);
  if (accounts === undefined) return [];
  return [`before: ${step.by} has ${accounts.pin} pages pinned, ${accounts.lck} locked`];
}

function arg({ a }: ScriptStep, name: string, otherwise: string): string {
  return String(Object.hasOwn(a, name) ? a[name] : otherwise);
}

function actedText({ where, sentence: text, rule }: Acted): string {
  return `acted: ${where === '' ? '' : `${where}: `}${text} (${rule})`;
}

/**
 * Runs the program that a module exports and explains its result; null when it was not refused.
 * Throws `UsageError` WORKLOAD_INVALID for a module without a program, and what the machine file is refused with.
 */
export function refusedProgram(file: string, machinePath: string | undefined): Refusal | null {
  const { description, plugins, folder } = describeMachine(machinePath);
  const exported = loadModule(file, 'workload module');
  const program = exported['default'] ?? exported['program'];
  if (typeof program !== 'function') {
    throw new UsageError('WORKLOAD_INVALID', `${file} exports no program`, {
      expected: 'a generator function as default export, or one named program: function* (program) { … }',
      actual: `exports ${Object.keys(exported).join(', ') || 'nothing'}`,
    });
  }
  const world = new World();
  const hostFiles = new NodeHostFiles(folder);
  try {
    const machine = world.complete(Machine.boot(world, description, { plugins, hostFiles }), 'boot');
    const process = machine.process('program');
    const result = world.complete(
      (program as ExampleProgram)(process, description.devices.at(0)?.name ?? ''),
      'program',
    );
    if (!(result < 0)) return null;
    return {
      what: `the program of ${file}`,
      outcome: errnoName(result),
      rule: machine.memory.gup.why(),
      facts: [
        `it has ${process.mm.pinnedVm} pages pinned for long, of ${process.mm.rlimitMemlock / PAGE_SIZE} allowed (RLIMIT_MEMLOCK)`,
        ...process.mm.vmas.all.map(areaText),
      ],
    };
  } finally {
    hostFiles.closeAll();
  }
}

/** As a line of /proc/PID/maps. */
function areaText({ start, end, flags, backing }: Vma): string {
  const has = (bit: number, letter: string): string => ((flags & bit) === 0 ? '-' : letter);
  const access = has(VM_READ, 'r') + has(VM_WRITE, 'w') + has(VM_EXEC, 'x') + ((flags & VM_SHARED) === 0 ? 'p' : 's');
  return `area ${start.toString(16)}-${end.toString(16)} ${access} ${backing?.name ?? 'anonymous memory'}`;
}
