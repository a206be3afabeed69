/** Cuts a fault plan down to the rules that its findings need, by running the session again with fewer of them. */
import { FaultPlan } from '@pincushion/sim';
import type { Workload } from '@pincushion/workloads';
import type { DescribedMachine } from '../machine-file';
import type { SessionOptions, Stopping } from '../workload-session';
import type { Expected } from './replay-file';
import { shows } from './replayed';
import { SessionNotes, findingsOf } from './run-replay';

/** Events of a session that is run again for each rule of its plan: below a second of the host's time. */
export const CUT_EVENTS_MOST = 200_000;

/** A session with its findings, and what was noted while it ran. */
export interface NotedSession {
  readonly options: SessionOptions;
  readonly expected: readonly Expected[];
  readonly notes: SessionNotes;
}

/**
 * The session with as few rules as show all of its findings: each rule is left out in turn, the last first, for good when
 * nothing is missing without it. The same session when none can go, or when it has only one.
 */
export async function withNeededRules(
  session: NotedSession,
  workload: Workload,
  machine: DescribedMachine,
  stopping: Stopping,
): Promise<NotedSession> {
  let least = session;
  const rules = [...(session.options.faults?.rules ?? [])];
  for (let at = rules.length - 1; at >= 0 && rules.length > 1; at--) {
    const fewer = rules.filter((_, i) => i !== at);
    const options = { ...session.options, faults: FaultPlan.of(...fewer) };
    const notes = new SessionNotes();
    const expected = await findingsOf(workload, machine, options, stopping, notes);
    if (stopping.requested) return session;
    if (!session.expected.every((each) => shows(each, expected))) continue;
    least = { options, expected, notes };
    rules.splice(at, 1);
  }
  return least;
}
