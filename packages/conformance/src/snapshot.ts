/**
 * Snapshots: everything the recorder sees after a step. Recordings hold only what changed; here a snapshot is whole, so
 * that one difference does not show again in every later step.
 */
import type { FrameState, ProcessAccounts, SnapshotDelta, Step } from './recording';
import { framesOfKey, splitName } from './views';

export interface Snapshot {
  /** Views by process and region. */
  readonly views: Map<string, Map<string, string>>;
  readonly frames: Map<string, FrameState>;
  readonly accounts: Map<string, ProcessAccounts>;
}

export function emptySnapshot(): Snapshot {
  return { views: new Map(), frames: new Map(), accounts: new Map() };
}

/** The snapshots of a recording, one for each step, folded from its deltas. */
export function* foldSteps(steps: readonly Step[]): Generator<Snapshot, undefined> {
  let { views, frames, accounts } = emptySnapshot();
  for (const step of steps) {
    const { v, f, m } = step.s;
    if (isFull(v)) views = new Map(views);
    for (const [process, regions] of Object.entries(v)) {
      views.set(process, new Map([...(views.get(process) ?? []), ...Object.entries(regions)]));
    }
    if (isFull(f)) frames = new Map(frames);
    for (const [key, state] of Object.entries(f)) {
      for (const name of framesOfKey(key)) {
        if (state === null) frames.delete(name);
        else frames.set(name, state);
      }
    }
    if (isFull(m)) accounts = new Map([...accounts, ...Object.entries(m)]);
    if (step.op === 'exit' && step.res === 'ok') {
      views = without(views, step.by);
      accounts = without(accounts, step.by);
    }
    yield { views, frames, accounts };
  }
}

/** Whether a delta says anything; a part of the snapshot that did not change is not copied. */
function isFull(delta: object): boolean {
  for (const _name in delta) return true;
  return false;
}

function without<T>(map: ReadonlyMap<string, T>, name: string): Map<string, T> {
  const copy = new Map(map);
  copy.delete(name);
  return copy;
}

/** From this many frames on, a run in the same state is written as one entry. */
const RUN_LEAST = 8;

/** What changed from one snapshot to the next, in the form of the recordings. */
export function deltaBetween(before: Snapshot, after: Snapshot): SnapshotDelta {
  const v: Record<string, Record<string, string>> = {};
  for (const [process, regions] of after.views) {
    for (const [region, view] of regions) {
      if (before.views.get(process)?.get(region) !== view) (v[process] ??= {})[region] = view;
    }
  }
  const changed: [string, FrameState | null][] = [];
  for (const [name, state] of after.frames) {
    const known = before.frames.get(name);
    if (known === undefined || JSON.stringify(known) !== JSON.stringify(state)) changed.push([name, state]);
  }
  for (const name of before.frames.keys()) if (!after.frames.has(name)) changed.push([name, null]);
  const m: Record<string, ProcessAccounts> = {};
  for (const [process, accounts] of after.accounts) {
    if (JSON.stringify(before.accounts.get(process)) !== JSON.stringify(accounts)) m[process] = accounts;
  }
  return { v, f: inRuns(changed), m };
}

function inRuns(changed: readonly (readonly [string, FrameState | null])[]): Record<string, FrameState | null> {
  const f: Record<string, FrameState | null> = {};
  for (let i = 0; i < changed.length;) {
    const [name, state] = changed[i];
    const { before, number } = splitName(name);
    const same = JSON.stringify(state);
    let run = 1;
    for (; i + run < changed.length; run++) {
      const next = splitName(changed[i + run][0]);
      if (next.before !== before || next.number !== number + run || JSON.stringify(changed[i + run][1]) !== same) break;
    }
    if (run < RUN_LEAST) run = 1;
    f[run === 1 ? name : `${name}..${number + run - 1}`] = state;
    i += run;
  }
  return f;
}
