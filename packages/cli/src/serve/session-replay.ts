/** Runs a recorded session again, without its clients: the same requests at the same virtual times. */
import { FaultPlan } from '@pincushion/sim';
import { NodeHostFiles } from '../host-files';
import { imageDifferences, machineOf, machineSubject } from '../replay/run-replay';
import type { Expected } from '../replay/replay-file';
import { findingOf, gathered } from '../replay/replayed';
import type { Stopping } from '../workload-session';
import type { ServedListener } from './served-machine';
import { ServedMachine } from './served-machine';
import type { RecordedSession, SessionReply } from './session-file';
import { replyLine, requestOf } from './session-file';

/** Requests between two turns of the host. */
const TURN_REQUESTS = 256;

/** A reply that is not the one recorded. */
interface OtherReply {
  readonly recorded: SessionReply | null;
  readonly here: SessionReply;
}

export interface SessionOutcome {
  /** Requests that were made. */
  readonly requests: number;
  /** Virtual time of the end. */
  readonly endNs: number;
  readonly findings: readonly Expected[];
  /** The first reply that differs; null where none does. */
  readonly otherReply: OtherReply | null;
  /** What is not as it was: sentences. */
  readonly differences: readonly string[];
  /** Ctrl-C came first. */
  readonly interrupted: boolean;
}

/**
 * Runs a session. `file` is for messages and places. Throws `UsageError` when something that it names is not there, or its
 * content cannot be unpacked.
 */
export async function replaySession(
  { head, asks, replies, end }: RecordedSession,
  file: string,
  stopping: Stopping,
  listener: ServedListener = {},
): Promise<SessionOutcome> {
  const differences: string[] = [];
  const machine = machineOf(head, file, differences);
  const hostFiles = new NodeHostFiles(machine.folder);
  const { seed, controller } = head;
  const faults = head.faults === null ? null : FaultPlan.parse(head.faults);
  const numbers = new Map<number, number>();
  const first: { other: OtherReply | null } = { other: null };
  let findings: readonly Expected[] = [];
  let interrupted = false;
  let endNs = 0;
  try {
    const served = new ServedMachine(machine, { seed, faults, controller }, hostFiles, {
      arrived: (atNs, arrival) => listener.arrived?.(atNs, arrival),
      replied: (atNs, id, reply) => {
        const number = numbers.get(id) ?? id;
        const here = replyLine(atNs, number, reply);
        const recorded = replies.get(number) ?? null;
        if (!isSameReply(recorded, here)) first.other ??= { recorded, here };
        listener.replied?.(atNs, id, reply);
      },
    });
    const { world } = served;
    let failure: Expected | null = null;
    try {
      for (const [i, ask] of asks.entries()) {
        if (i % TURN_REQUESTS === 0) await stopping.turn();
        interrupted = stopping.requested;
        if (interrupted) break;
        served.advanceTo(ask.at);
        numbers.set(i + 1, ask.ask);
        served.inject(requestOf(ask));
      }
      if (!interrupted) served.advanceTo(end.end);
      endNs = world.now;
      served.shutdown();
    } catch (error) {
      failure = findingOf(error);
      if (failure === null) throw error;
    }
    findings = [...gathered(world.findings.all), ...(failure === null ? [] : [failure])];
    differences.push(...imageDifferences(head.images, machineSubject(machine, hostFiles, file).images));
  } finally {
    hostFiles.closeAll();
  }
  return { requests: numbers.size, endNs, findings, otherReply: first.other, differences, interrupted };
}

function isSameReply(recorded: SessionReply | null, here: SessionReply): boolean {
  if (recorded === null) return false;
  const { at, status, result = 0, sha256 } = recorded;
  return at === here.at && status === here.status && result === (here.result ?? 0) && sha256 === here.sha256;
}
