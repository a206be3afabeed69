/**
 * A recorded session: what clients asked of a served machine and when, in virtual time, and what they were answered. One JSON
 * value a line, so that it can be read, cut and searched with ordinary tools:
 *
 *   {"pincushionSession":1,…}                                      the machine, seed, fault plan
 *   {"ask":7,"at":5120,"op":"write","disk":"nvme0n1","offset":0,"length":4096,"data":{"gzip":"…"}}
 *   {"reply":7,"at":9810,"status":0}                               of a read with a checksum of what was read
 *   {"end":9810,"findings":[…]}
 *
 * Content is carried as it is: a byte that is repeated is named once, the rest is gzip in base64, or base64 where that is shorter.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { PLUGIN_API, parseConfig } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { z } from 'zod';
import { fileProblem } from '../file-problem';
import { OutputFile } from '../output-file';
import { CodeIdentity, Expected, HostImage } from '../replay/replay-file';
import { readVersion } from '../version';
import { BLOCK_OPS } from './request';
import type { Arrival, ServedReply, ServedRequest } from './request';

const VERSION = 1;
/** The beginning of every recorded session. */
const BEGINNING = '{"pincushionSession":';
const CHUNK_BYTES = 1 << 20;
/** More than any line that we write. */
const LINE_CHARACTERS_MOST = 128 * 1024 * 1024;
const CONTENT_BYTES_MOST = 64 * 1024 * 1024;

const Time = z.number().min(0);
const Id = z.int().min(1);
const Bytes = z.int().min(0);
const Base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/, 'base64');
const Content = z.union([
  z.strictObject({ byte: z.int().min(0).max(255), bytes: z.int().min(0).max(CONTENT_BYTES_MOST) }),
  z.strictObject({ base64: Base64 }),
  z.strictObject({ gzip: Base64 }),
]);
type Content = z.infer<typeof Content>;

const Head = z.strictObject({
  pincushionSession: z.literal(VERSION),
  made: z.strictObject({ pincushion: z.string(), api: z.number() }),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  faults: z.string().max(1_000_000).nullable(),
  controller: z.string().nullable().describe('Name of the NVMe controller that was served; null: disks were.'),
  machine: z.record(z.string(), z.unknown()),
  folder: z.string().describe('Where the machine file was: paths in it start there.'),
  plugins: z.array(CodeIdentity).max(1000),
  images: z.array(HostImage).max(1000),
});

const Ask = z.union([
  z.strictObject({
    ask: Id,
    at: Time,
    op: z.enum(BLOCK_OPS),
    disk: z.string(),
    offset: Bytes,
    length: Bytes,
    fua: z.literal(true).optional(),
    data: Content.optional(),
  }),
  z.strictObject({
    ask: Id,
    at: Time,
    op: z.enum(['admin', 'io']),
    command: z.string().regex(/^[0-9a-f]{128}$/, '64 bytes in hex'),
    data: Content.optional(),
    wanted: Bytes.max(CONTENT_BYTES_MOST),
  }),
  z.strictObject({ ask: Id, at: Time, op: z.literal('plan'), plan: z.string().nullable() }),
]);
const Reply = z.strictObject({
  reply: Id,
  at: Time,
  status: z.int(),
  result: z.int().optional(),
  sha256: z.string().optional(),
});
const End = z.strictObject({ end: Time, findings: z.array(Expected).max(10_000) });
const Line = z.union([Ask, Reply, End]);

export type SessionHead = Omit<z.infer<typeof Head>, 'pincushionSession' | 'made'>;
export type SessionAsk = z.infer<typeof Ask>;
export type SessionReply = z.infer<typeof Reply>;
export type SessionEnd = z.infer<typeof End>;

export interface RecordedSession {
  readonly head: SessionHead;
  readonly asks: readonly SessionAsk[];
  /** By number. */
  readonly replies: ReadonlyMap<number, SessionReply>;
  readonly end: SessionEnd;
}

// ---- writing -------------------------------------------------------------------------------------------------------------

/** Writes a session while it happens. The file is there when `finish` has been called. */
export class SessionWriter {
  private readonly file: OutputFile;

  /** Throws `UsageError` FILE_UNWRITABLE. */
  constructor(path: string) {
    this.file = new OutputFile(path);
  }

  begin(head: SessionHead): void {
    this.line({ pincushionSession: VERSION, made: { pincushion: readVersion(), api: PLUGIN_API }, ...head });
  }

  arrived(atNs: number, { id, request }: Arrival): void {
    this.line({ ask: id, at: atNs, ...requestFields(request) });
  }

  replied(atNs: number, id: number, reply: ServedReply): void {
    this.line(replyLine(atNs, id, reply));
  }

  finish(end: SessionEnd): void {
    this.line(end);
    this.file.finish();
  }

  /** Leaves no trace, unless it is finished. */
  discard(): void {
    this.file.discard();
  }

  private line(value: object): void {
    this.file.write(JSON.stringify(value) + '\n');
  }
}

function requestFields(request: ServedRequest): object {
  switch (request.kind) {
    case 'block': {
      const { op, disk, offset, length, fua, data } = request;
      return { op, disk, offset, length, ...(fua ? { fua } : {}), ...(data === null ? {} : { data: pack(data) }) };
    }
    case 'nvme': {
      const { isAdmin, command, data, wanted } = request;
      const hex = Buffer.from(command).toString('hex');
      const carried = data.length === 0 ? {} : { data: pack(data) };
      return { op: isAdmin ? 'admin' : 'io', command: hex, ...carried, wanted };
    }
    case 'plan':
      return { op: 'plan', plan: request.plan };
  }
}

/** How a reply is written down: of what was read a checksum. */
export function replyLine(atNs: number, id: number, { status, result, data }: ServedReply): SessionReply {
  return {
    reply: id,
    at: atNs,
    status,
    ...(result === 0 ? {} : { result }),
    ...(data.length === 0 ? {} : { sha256: createHash('sha256').update(data).digest('hex') }),
  };
}

function pack(data: Uint8Array): Content {
  const [byte = 0] = data;
  if (data.every((each) => each === byte)) return { byte, bytes: data.length };
  const small = deflateRawSync(data, { level: 1 });
  return small.length < 0.9 * data.length
    ? { gzip: small.toString('base64') }
    : { base64: Buffer.from(data).toString('base64') };
}

// ---- reading -------------------------------------------------------------------------------------------------------------

/** Whether a file is a recorded session; false for one that cannot be read. */
export function isSession(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return false;
  }
  try {
    const start = Buffer.alloc(BEGINNING.length);
    return readSync(fd, start, 0, start.length, 0) === start.length && start.toString('latin1') === BEGINNING;
  } catch {
    return false; // A folder.
  } finally {
    closeSync(fd);
  }
}

/** Reads a session. Throws `UsageError`: FILE_UNREADABLE; SESSION_INVALID with the line. */
export function readSession(path: string): RecordedSession {
  let head: SessionHead | null = null;
  let end: SessionEnd | null = null;
  const asks: SessionAsk[] = [];
  const replies = new Map<number, SessionReply>();
  let number = 0;
  for (const text of linesOf(path)) {
    number++;
    const where = `${path}: line ${number}`;
    const value = parseLine(text, where);
    const report = { code: 'SESSION_INVALID', where } as const;
    if (head === null) {
      head = parseConfig(Head, value, report);
      continue;
    }
    if (end !== null) throw invalid(`${where}: the session has ended before`, 'nothing after the end');
    const line = parseConfig(Line, value, report);
    if ('end' in line) end = line;
    else if ('reply' in line) replies.set(line.reply, line);
    else if (line.ask <= (asks.at(-1)?.ask ?? 0) || line.at < (asks.at(-1)?.at ?? 0)) {
      throw invalid(`${where}: this request came before the one above it`, 'requests in the order of their arrival');
    } else asks.push(line);
  }
  if (head === null || end === null) throw invalid(`${path}: the session has no end`, 'a session that is not cut off');
  return { head, asks, replies, end };
}

/** The request of a line. Throws `UsageError` SESSION_INVALID for content that cannot be unpacked. */
export function requestOf(ask: SessionAsk): ServedRequest {
  switch (ask.op) {
    case 'plan':
      return { kind: 'plan', plan: ask.plan };
    case 'admin':
    case 'io':
      return {
        kind: 'nvme',
        isAdmin: ask.op === 'admin',
        command: Buffer.from(ask.command, 'hex'),
        data: ask.data === undefined ? new Uint8Array(0) : unpack(ask.data, ask.ask),
        wanted: ask.wanted,
      };
    default: {
      const { op, disk, offset, length, fua = false, data } = ask;
      return { kind: 'block', op, disk, offset, length, fua, data: data === undefined ? null : unpack(data, ask.ask) };
    }
  }
}

function unpack(content: Content, id: number): Uint8Array {
  if ('byte' in content) return new Uint8Array(content.bytes).fill(content.byte);
  if ('base64' in content) return Buffer.from(content.base64, 'base64');
  try {
    return inflateRawSync(Buffer.from(content.gzip, 'base64'), { maxOutputLength: CONTENT_BYTES_MOST });
  } catch (cause) {
    throw invalid(`the content of request ${id} cannot be unpacked`, 'raw deflate in base64', cause);
  }
}

function* linesOf(path: string): Generator<string, void, undefined> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw new UsageError('FILE_UNREADABLE', `${path}: the session cannot be read: ${fileProblem(cause)}`, { cause });
  }
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    const decoder = new StringDecoder('utf8');
    let rest = '';
    for (;;) {
      const n = readSync(fd, chunk, 0, CHUNK_BYTES, null);
      if (n === 0) break;
      rest += decoder.write(chunk.subarray(0, n));
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LINE_CHARACTERS_MOST) throw invalid(`${path} has a line without end`, 'lines of JSON');
      yield* lines;
    }
    if (rest !== '') yield rest;
  } finally {
    closeSync(fd);
  }
}

function parseLine(text: string, where: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw invalid(`${where}: this is no line of a session, or it is cut off`, 'what serve --record has written', cause);
  }
}

function invalid(what: string, expected: string, cause?: unknown): UsageError {
  return new UsageError('SESSION_INVALID', what, { expected, ...(cause === undefined ? {} : { cause }) });
}
