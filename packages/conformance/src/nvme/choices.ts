/**
 * Where our controller makes another choice than the reference, with the specification's leave.
 * The manual has the same table for people (docs/reference/nvme.md); a test holds the two together, and another sees that
 * each of them is used by a recording.
 */
import type { TranscriptStep } from './transcript';

export interface Choice {
  /** Name of the choice, as in the manual. */
  readonly id: string;
  /** Whether it explains what came out of a step here. */
  readonly explains: (step: TranscriptStep, got: string) => boolean;
}

const PSDT = 0xc0;
const CMBSTS = 0x58;

export const CHOICES: readonly Choice[] = [
  { id: 'verify-announced', explains: ({ t, ...step }) => t === 'mr' && nameOf(step) === 'ONCS' },
  { id: 'lba-formats', explains: ({ t, ...step }) => t === 'mr' && /^(NSFEAT NLBAF|LBAF0)/.test(nameOf(step)) },
  { id: 'spare', explains: ({ t, ...step }) => t === 'mr' && /spare$/.test(nameOf(step)) },
  {
    id: 'list-pointer-alignment',
    explains: (step, got) => {
      return (
        isStatus(got, '0/13h') &&
        step.t === 'cmd' &&
        (byteOf(step.sqe, 1) & PSDT) === 0 &&
        (byteOf(step.sqe, 32) & 7) !== 0
      );
    },
  },
  {
    id: 'segment-ends-in-data',
    explains: (step, got) => isStatus(got, '0/0dh') && step.t === 'cmd' && (byteOf(step.sqe, 1) & PSDT) !== 0,
  },
  { id: 'bus-errors', explains: (step, got) => isStatus(got, '0/04h') && step.t === 'cmd' },
  { id: 'cmb-base-wraps', explains: (step, got) => step.t === 'rr' && step.off === CMBSTS && got === '0x1' },
];

/** The choice that explains what came out of a step, or null. */
export function choiceFor(step: TranscriptStep, got: string): Choice | null {
  return CHOICES.find(({ explains }) => explains(step, got)) ?? null;
}

function nameOf(step: object): string {
  return 'name' in step && typeof step.name === 'string' ? step.name : '';
}

function isStatus(got: string, status: string): boolean {
  return got.startsWith(`status ${status}`);
}

function byteOf(sqe: string, at: number): number {
  return parseInt(sqe.slice(2 * at, 2 * at + 2), 16);
}
