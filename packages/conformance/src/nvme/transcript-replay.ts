/**
 * Replays a transcript on a bare controller and compares every step, as binding as the step is.
 *
 *   spec     must be equal
 *   quirk    must be what the specification asks for, where the step says it; otherwise it is not compared
 *   choice   may differ where a documented choice says so (`choices.ts`)
 *
 * Commands that are inside together may end in any order, so polled completions are compared by their command identifier, within the
 * polls up to the next command; how far the controller has fetched by then (`sqhd`) is advice.
 */
import { World } from '@pincushion/sim';
import { BareController } from './bare-controller';
import type { Choice } from './choices';
import { choiceFor } from './choices';
import { modelLike } from './reference-options';
import type { Basis, Completion, Transcript, TranscriptStep } from './transcript';
import { TranscriptHost, bytesOf, contentTexts } from './transcript-host';

/** A step whose outcome differs from the reference's. */
export interface TranscriptDifference {
  /** Index of the step. */
  readonly step: number;
  readonly name: string;
  readonly basis: Basis;
  readonly expected: string;
  readonly got: string;
  /** The documented choice that allows it; null: it is a disagreement. */
  readonly choice: Choice | null;
}

export interface TranscriptResult {
  readonly transcript: Transcript;
  /** Steps compared, by how binding they are. */
  readonly compared: Readonly<Record<Basis, number>>;
  readonly differences: readonly TranscriptDifference[];
  /** Why the replay ended before the last step, or null. */
  readonly broke: string | null;
}

/** Whether every step agrees, or differs by a documented choice. */
export function transcriptAgrees({ differences, broke }: TranscriptResult): boolean {
  return broke === null && differences.every(({ choice }) => choice !== null);
}

/** Both outcomes of a compared step, as text; null for a step that only acts. */
type Outcome = { readonly got: string; readonly expected: string } | null;

export function replayTranscript(transcript: Transcript): TranscriptResult {
  const compared = { spec: 0, choice: 0, quirk: 0 };
  const differences: TranscriptDifference[] = [];
  const world = new World({ seed: 1 });
  const model = modelLike(transcript);
  const controller = BareController.on(
    world,
    model,
    [model.cmb, model.pmr].filter((bytes) => bytes > 0),
    transcript,
  );
  const host = new TranscriptHost(world, controller);
  for (const [index, step] of transcript.steps.entries()) {
    let outcome: Outcome;
    try {
      outcome = step.t === 'cqpoll' ? poll(step, host, polledFrom(transcript, index)) : perform(step, host, controller);
    } catch (error) {
      const broke = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return { transcript, compared, differences, broke: `step ${index + 1}: ${broke}` };
    }
    if (outcome === null || !('basis' in step)) continue;
    compared[step.basis]++;
    if (outcome.got === outcome.expected) continue;
    const { name, basis } = step;
    const choice = basis === 'choice' ? choiceFor(step, outcome.got) : null;
    differences.push({ step: index, name, basis, ...outcome, choice });
  }
  return { transcript, compared, differences, broke: null };
}

type Poll = Extract<TranscriptStep, { t: 'cqpoll' }>;

/** The polls of the same queue that a poll belongs to: before and after it, up to a command or an event from outside. */
function polledFrom({ steps }: Transcript, index: number): readonly Completion[] {
  const { cq } = steps[index] as Poll;
  const isEnd = ({ t }: TranscriptStep): boolean => t === 'cmd' || t === 'push' || t === 'inject' || t === 'host_cq';
  let from = index;
  while (from > 0 && !isEnd(steps[from - 1])) from--;
  const end = steps.findIndex((step, k) => k > index && isEnd(step));
  const group = steps.slice(from, end < 0 ? steps.length : end);
  return group.flatMap((step) => (step.t === 'cqpoll' && step.cq === cq && step.cqe !== null ? [step.cqe] : []));
}

/** The phase is this step's; the rest is what the reference said of the command that has come. */
function poll(step: Poll, host: TranscriptHost, group: readonly Completion[]): Outcome {
  const got = host.poll(step.cq);
  if (got !== null && step.ack) host.writeHead(step.cq);
  const same = got === null || step.cqe === null ? undefined : group.find(({ cid }) => cid === got.cid);
  const expected = same === undefined || step.cqe?.p === undefined ? step.cqe : { ...same, p: step.cqe.p };
  return { got: completionText(got, false), expected: completionText(expected, false) };
}

function perform(step: Exclude<TranscriptStep, Poll>, host: TranscriptHost, controller: BareController): Outcome {
  switch (step.t) {
    case 'rr':
      return texts(host.readRegister(step.off, step.w) & step.mask, step.v & step.mask);
    case 'rw':
      host.writeRegister(step.off, step.v, step.w);
      return null;
    case 'mw':
      host.writeMemory(step.addr, bytesOf(step.content));
      return null;
    case 'fill':
      host.writeMemory(step.addr, new Uint8Array(step.n).fill(step.byte));
      return null;
    case 'mr': {
      const [got, expected] = contentTexts(host.readMemory(step.addr, step.n), step.content);
      return step.basis === 'quirk' ? { got, expected: got } : { got, expected };
    }
    case 'host_cq':
      host.useCompletionQueue(step.qid, step.base, step.size);
      return null;
    case 'host_sq':
      host.useSubmissionQueue(step.qid, step.base, step.size, step.cqid);
      return null;
    case 'cmd':
      return command(step, host);
    case 'push':
      for (const sqe of step.sqes) host.push(step.q, sqe);
      return null;
    case 'cqset':
      return completionSet(step, host);
    case 'ackcq':
      host.writeHead(step.cq, step.head);
      return null;
    case 'inject':
      if (step.kind === 'smart_critical_warning') controller.reportHealth(step.v);
      host.settle();
      return null;
    case 'note':
      return null;
  }
}

function command(step: Extract<TranscriptStep, { t: 'cmd' }>, host: TranscriptHost): Outcome {
  host.push(step.q, step.sqe);
  host.ringTail(step.q);
  const cq = host.completionQueueOf(step.q);
  const got = host.poll(cq);
  if (got !== null && step.ack) host.writeHead(cq);
  const { spec } = step;
  if (spec === null || got === null) {
    return { got: completionText(got, true), expected: completionText(step.cqe, true) };
  }
  return { got: statusText(got), expected: statusText(spec) };
}

/** Completions in any order: compared sorted by command identifier, without what depends on the order. */
function completionSet(step: Extract<TranscriptStep, { t: 'cqset' }>, host: TranscriptHost): Outcome {
  const got: Completion[] = [];
  for (let k = 0; k < step.n; k++) {
    const completion = host.poll(step.cq);
    if (completion !== null) got.push(completion);
  }
  host.writeHead(step.cq);
  const text = (list: readonly Completion[]): string => {
    const sorted = [...list].sort((a, b) => a.cid - b.cid);
    return sorted.map(({ p: _phase, ...rest }) => completionText(rest, false)).join('; ');
  };
  return { got: text(got), expected: text(step.cqes) };
}

function completionText(completion: Completion | null, withHead: boolean): string {
  if (completion === null) return 'nothing completes';
  const { dw0, sqhd, sqid, cid, p, crd, more, dnr } = completion;
  const flags = [
    `dword 0 ${dw0}`,
    `queue ${sqid}`,
    `command ${cid}`,
    ...(withHead && sqhd !== undefined ? [`head ${sqhd}`] : []),
    ...(p === undefined ? [] : [`phase ${p}`]),
    ...(crd === 0 ? [] : [`retry delay ${crd}`]),
    ...(more === 0 ? [] : ['more']),
    ...(dnr === 0 ? [] : ['do not retry']),
  ];
  return `${statusText(completion)}, ${flags.join(', ')}`;
}

function statusText({ sct, sc }: { readonly sct: number; readonly sc: string }): string {
  return `status ${sct}/${sc.slice(2).padStart(2, '0')}h`;
}

function texts(got: bigint, expected: bigint): Outcome {
  return { got: `0x${got.toString(16)}`, expected: `0x${expected.toString(16)}` };
}
