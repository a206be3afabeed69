/**
 * The host of a transcript: queue entries, doorbells and completions in memory, and nothing more.
 * Time stands still between steps; after each the controller is left alone until it is idle.
 */
import { createHash } from 'node:crypto';
import { PincushionError } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { BareController } from './bare-controller';
import type { Completion, Content, Width } from './transcript';

const SQE_BYTES = 64;
const CQE_BYTES = 16;
const DOORBELLS = 0x1000;
/** More than a controller needs to become idle. */
const EVENTS_MAX = 1_000_000;

interface SubmissionRing {
  readonly base: number;
  readonly size: number;
  readonly cqid: number;
  tail: number;
}

interface CompletionRing {
  readonly base: number;
  readonly size: number;
  head: number;
  phase: number;
}

export class TranscriptHost {
  private readonly sqs = new Map<number, SubmissionRing>();
  private readonly cqs = new Map<number, CompletionRing>();

  constructor(
    private readonly world: World,
    private readonly controller: BareController,
  ) {}

  /** Lets the controller work until it is idle. */
  settle(): void {
    if (this.world.run({ events: EVENTS_MAX }) !== 'limit') return;
    throw new PincushionError('TASK_STUCK', 'the controller does not come to rest', {
      expected: `nothing left to do after ${EVENTS_MAX} events`,
    });
  }

  readRegister(offset: number, width: Width): bigint {
    if (width < 8) return BigInt(this.controller.mmioRead(0, offset, width) >>> 0);
    const low = BigInt(this.controller.mmioRead(0, offset, 4) >>> 0);
    return low | (BigInt(this.controller.mmioRead(0, offset + 4, 4) >>> 0) << 32n);
  }

  /** A quadword that no double can hold exactly goes in two halves, the high one first. */
  writeRegister(offset: number, value: bigint, width: Width): void {
    const wide = BigInt.asUintN(8 * width, value);
    if (wide <= BigInt(Number.MAX_SAFE_INTEGER)) {
      this.controller.mmioWrite(0, offset, Number(wide), width);
    } else {
      this.controller.mmioWrite(0, offset + 4, Number(wide >> 32n), 4);
      this.controller.mmioWrite(0, offset, Number(BigInt.asUintN(32, wide)), 4);
    }
    this.settle();
  }

  /** Writes memory; where nothing answers, nothing happens. */
  writeMemory(address: number, bytes: Uint8Array): void {
    this.controller.busWrite(address, bytes, 0, bytes.length);
  }

  /** Reads memory; zeroes where nothing answers. */
  readMemory(address: number, n: number): Uint8Array {
    const bytes = new Uint8Array(n);
    this.controller.busRead(address, bytes, 0, n);
    return bytes;
  }

  useSubmissionQueue(qid: number, base: number, size: number, cqid: number): void {
    this.sqs.set(qid, { base, size, cqid, tail: 0 });
  }

  /** The memory of a completion queue is zeroed, so that the phase bit tells what is new. */
  useCompletionQueue(qid: number, base: number, size: number): void {
    this.cqs.set(qid, { base, size, head: 0, phase: 1 });
    this.writeMemory(base, new Uint8Array(size * CQE_BYTES));
  }

  /** Puts an entry into a submission queue; no doorbell. */
  push(qid: number, sqe: string): void {
    const ring = this.submissionRing(qid);
    this.writeMemory(ring.base + SQE_BYTES * ring.tail, Buffer.from(sqe, 'hex'));
    ring.tail = (ring.tail + 1) % ring.size;
  }

  ringTail(qid: number): void {
    this.writeRegister(DOORBELLS + 8 * qid, BigInt(this.submissionRing(qid).tail), 4);
  }

  writeHead(cqid: number, head = this.completionRing(cqid).head): void {
    this.writeRegister(DOORBELLS + 8 * cqid + 4, BigInt(head), 4);
  }

  /** Number of the completion queue that a submission queue completes in. */
  completionQueueOf(qid: number): number {
    return this.submissionRing(qid).cqid;
  }

  /** The next completion, or null when none has come. */
  poll(cqid: number): Completion | null {
    const ring = this.completionRing(cqid);
    const bytes = this.readMemory(ring.base + CQE_BYTES * ring.head, CQE_BYTES);
    if ((bytes[14] & 1) !== ring.phase) return null;
    if (++ring.head === ring.size) {
      ring.head = 0;
      ring.phase ^= 1;
    }
    return completionOf(bytes);
  }

  private submissionRing(qid: number): SubmissionRing {
    return ringOf(this.sqs, qid, 'submission');
  }

  private completionRing(qid: number): CompletionRing {
    return ringOf(this.cqs, qid, 'completion');
  }
}

function ringOf<R>(rings: ReadonlyMap<number, R>, qid: number, what: string): R {
  const ring = rings.get(qid);
  if (ring !== undefined) return ring;
  throw new PincushionError('ARGUMENT_INVALID', `the transcript uses ${what} queue ${qid} before it has laid it out`);
}

function completionOf(bytes: Uint8Array): Completion {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const status = view.getUint16(14, true);
  return {
    dw0: hex(view.getUint32(0, true), 1),
    sqhd: view.getUint16(8, true),
    sqid: view.getUint16(10, true),
    cid: view.getUint16(12, true),
    p: status & 1,
    sc: hex((status >> 1) & 0xff, 2),
    sct: (status >> 9) & 7,
    crd: (status >> 12) & 3,
    more: (status >> 14) & 1,
    dnr: status >> 15,
  };
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** The bytes that a step writes. */
export function bytesOf({ hex: text, lin }: Content): Uint8Array {
  if (lin !== undefined) return pattern(lin[0], lin[1]);
  return Buffer.from(text ?? '', 'hex');
}

/** Byte i of pattern `seed`: (seed + 7 i + 13 (i >> 8)) modulo 256. */
function pattern(seed: number, n: number): Uint8Array {
  const bytes = new Uint8Array(n);
  for (let i = 0; i < n; i++) bytes[i] = seed + 7 * i + 13 * (i >> 8);
  return bytes;
}

/** What was read and what is expected, as texts that are equal when the content is. */
export function contentTexts(read: Uint8Array, { hex: text, lin, byte, sha256 }: Content): [string, string] {
  if (text !== undefined) return [Buffer.from(read).toString('hex'), text.toLowerCase()];
  if (sha256 !== undefined) return [createHash('sha256').update(read).digest('hex'), sha256];
  const expected = lin === undefined ? new Uint8Array(read.length).fill(byte ?? 0) : pattern(lin[0], lin[1]);
  const at = read.findIndex((each, i) => each !== expected[i]);
  if (at < 0 && read.length === expected.length) return ['', ''];
  const from = Math.max(0, at);
  const shown = (bytes: Uint8Array): string => {
    return `…${Buffer.from(bytes.subarray(from, from + 16)).toString('hex')} at byte ${from}`;
  };
  return [shown(read), shown(expected)];
}
