/**
 * Cuts a recorded session down to the requests that its findings need, by running it again with fewer of them.
 *
 * Delta debugging over the requests: halves, quarters, … single ones are left out, for good when every finding still shows. A fault plan counts
 * commands, so with requests before the struck one gone its numbers are too high: each part is tried with the numbers as they
 * are, and with as many less as commands of the kind went. Rules that nothing needs go first, and again at the end.
 * Source followed: A. Zeller, R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), ddmin.
 */
import { FaultPlan } from '@pincushion/sim';
import type { FaultRule } from '@pincushion/sim';
import { shows } from '../replay/replayed';
import type { Stopping } from '../workload-session';
import type { RecordedSession, SessionAsk } from './session-file';
import { replaySession } from './session-replay';

/** Requests of all tries together. */
const REQUESTS_MOST = 400_000;

/** Called after each try. */
export type CutProgress = (left: number, of: number) => void;

/** The session with fewer requests, or the same one. */
export async function cutSession(
  session: RecordedSession,
  file: string,
  stopping: Stopping,
  progress: CutProgress = () => undefined,
): Promise<RecordedSession> {
  const { findings } = session.end;
  let budget = REQUESTS_MOST;
  let least = session;
  const isEnough = async (asks: readonly SessionAsk[], faults: string | null): Promise<boolean> => {
    budget -= asks.length + 1;
    const candidate = { ...session, asks, head: { ...session.head, faults } };
    const outcome = await replaySession(candidate, file, stopping);
    const found = !outcome.interrupted && findings.every((each) => shows(each, outcome.findings));
    if (found) least = candidate;
    progress(least.asks.length, session.asks.length);
    return found;
  };
  const goOn = (): boolean => budget > least.asks.length && !stopping.requested;

  await withoutNeedlessRules(() => least, isEnough, goOn);
  for (let parts = 2; least.asks.length > 1 && goOn();) {
    const { asks } = least;
    const size = Math.ceil(asks.length / parts);
    let wasCut = false;
    for (let from = 0; from < least.asks.length && goOn();) {
      const gone = least.asks.slice(from, from + size);
      const rest = [...least.asks.slice(0, from), ...least.asks.slice(from + size)];
      const { faults } = least.head;
      const fewer = withLowerNumbers(faults, gone);
      // The plan that counts on is tried first: most struck requests come after most others.
      const isCut =
        rest.length > 0 &&
        ((fewer !== faults && (await isEnough(rest, fewer))) || (goOn() && (await isEnough(rest, faults))));
      if (isCut) wasCut = true;
      else from += size;
    }
    if (size === 1 && !wasCut) break;
    parts = size === 1 ? least.asks.length : Math.min(wasCut ? Math.max(parts - 1, 2) : parts * 2, least.asks.length);
  }
  await withoutNeedlessRules(() => least, isEnough, goOn);
  return least;
}

async function withoutNeedlessRules(
  least: () => RecordedSession,
  isEnough: (asks: readonly SessionAsk[], faults: string | null) => Promise<boolean>,
  goOn: () => boolean,
): Promise<void> {
  const { faults } = least().head;
  const rules = faults === null ? [] : [...FaultPlan.parse(faults).rules];
  for (let at = rules.length - 1; at >= 0 && goOn(); at--) {
    const fewer = rules.filter((_, i) => i !== at);
    const plan = fewer.length === 0 ? null : FaultPlan.of(...fewer).toString();
    if (await isEnough(least().asks, plan)) rules.splice(at, 1);
  }
}

const SITE_OF = {
  read: 'io.read',
  write: 'io.write',
  flush: 'io.flush',
  trim: 'io.trim',
  zeroes: 'io.zeroes',
} as const;

/** The plan with each number less by as many commands as went; at least 1. */
function withLowerNumbers(faults: string | null, gone: readonly SessionAsk[]): string | null {
  if (faults === null) return null;
  const lower = (rule: FaultRule): FaultRule => {
    if (rule.sectors !== undefined || !rule.site.startsWith('io')) return rule;
    const count = gone.filter(
      (ask) => ask.op in SITE_OF && (rule.site === 'io' || SITE_OF[ask.op as keyof typeof SITE_OF] === rule.site),
    );
    const by = Math.min(count.length, rule.from - 1);
    return { ...rule, from: rule.from - by, to: rule.to - by };
  };
  return FaultPlan.of(...FaultPlan.parse(faults).rules.map(lower)).toString();
}
