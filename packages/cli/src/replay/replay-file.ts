/**
 * A replay file: everything that one finding depends on, so that it can be run again on another machine.
 *
 * It is JSON that a person can read and change. Nothing in it is ever run as code: modules and drivers are named, with
 * their versions and checksums, and loaded as `run` and `verify` load them. What is large is packed (`packed.ts`).
 */
import { parseConfig } from '@pincushion/driver';
import { ERROR_CODES, UsageError } from '@pincushion/sim';
import type { ErrorCode } from '@pincushion/sim';
import { THROUGH } from '@pincushion/workloads';
import { z } from 'zod';
import { readUserFile } from '../read-file';
import { Packed } from './packed';

export const REPLAY_SCHEMA_VERSION = 1;
/** The end of the name of every replay file. */
export const REPLAY_SUFFIX = '.replay.json';
/** Larger than any file we write. */
const FILE_BYTES_MOST = 64 * 1024 * 1024;

const Seed = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const Name = z.string().min(1).max(1000);
const Code = z
  .string()
  .refine((code): code is ErrorCode => Object.hasOwn(ERROR_CODES, code), 'a code of the catalogue');

export const Expected = z.strictObject({
  code: Code.describe('Code of the finding.'),
  of: z.string().default('').describe('What it is a finding of, where one file has several: the name of a scenario.'),
  summary: z.string().describe('Its words when it was found.'),
  times: z.int().min(1).describe('How often it was found.'),
});

export const CodeIdentity = z.strictObject({
  name: Name.describe('As the machine file or the command line names it.'),
  package: z.string().describe('Name of the package it is in; empty for none.'),
  version: z.string().describe('Version of that package; empty for none.'),
  sha256: z.string().describe('Checksum of its own sources.'),
});

export const HostImage = z.strictObject({
  path: Name,
  bytes: z.int().min(0),
  sha256: z.string().nullable().describe('null: it was written to, or is too large to be looked through.'),
});

const Workload = z.strictObject({
  name: Name.describe('As it was named on the command line.'),
  content: Packed.nullable().describe('null: a module, or a trace too large to be carried.'),
  module: CodeIdentity.nullable(),
  sha256: z.string().describe('Checksum of the content; empty for a module.'),
});

const RunSubject = z.strictObject({
  command: z.literal('run'),
  seed: Seed,
  forced: z.array(z.string().max(1000)).max(1_000_000).describe('Decisions that do not follow the seed.'),
  faults: z.string().max(1_000_000).nullable(),
  machine: z.record(z.string(), z.unknown()),
  folder: z.string().describe('Where the machine file was: paths in it start there.'),
  plugins: z.array(CodeIdentity).max(1000),
  images: z.array(HostImage).max(1000),
  workload: Workload,
  workFolder: z.string().describe('Where the command ran.'),
  strict: z.boolean(),
  ledger: z.enum(['off', 'counts', 'full']).nullable().describe('null: what the machine says.'),
  paranoid: z.boolean(),
  verify: z.boolean(),
  closedLoop: z.boolean(),
  ioDepth: z.int().min(1).max(65_536).nullable(),
  disk: z.string().nullable(),
  through: z.enum(THROUGH).default('raw').describe('What the I/Os went through; raw where it is missing.'),
  stopAfter: z.int().min(0).nullable().describe('It was interrupted after so many slices.'),
});

const VerifySubject = z.strictObject({
  command: z.literal('verify'),
  seed: Seed,
  package: CodeIdentity,
  folder: z.string().describe('Where the command ran.'),
  driver: Name,
  trial: Name,
  watchdogMs: z.int().min(1).max(3_600_000),
});

const Kernel = Name.describe('The kernel that was asked to act.');
const Scenario = z.string().max(1_000_000).describe('The steps, as `ask` reads them.');

const FuzzSubject = z.strictObject({
  command: z.literal('fuzz'),
  seed: Seed,
  program: z.int().min(0),
  kernel: Kernel,
  scenario: Scenario,
});

const AskSubject = z.strictObject({ command: z.literal('ask'), kernel: Kernel, scenario: Scenario });

const ConformanceSubject = z.strictObject({
  command: z.literal('conformance'),
  recording: Name.describe('The file of the recording.'),
  content: Packed.nullable().describe('null: it is too large to be carried.'),
  folder: z.string().describe('Where the command ran.'),
  scenarios: z.array(Name).min(1).describe('Those that disagreed.'),
  tier: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4), z.literal(5)]),
  paranoid: z.boolean(),
});

const ReplayDocument = z.strictObject({
  schemaVersion: z.literal(REPLAY_SCHEMA_VERSION),
  made: z.strictObject({
    pincushion: z.string(),
    api: z.number(),
    node: z.string(),
    platform: z.string(),
  }),
  expected: z.array(Expected).min(1).max(10_000),
  subject: z.discriminatedUnion('command', [RunSubject, VerifySubject, FuzzSubject, AskSubject, ConformanceSubject]),
  trail: Packed.nullable().describe('Every decision of the run; null where none were recorded.'),
});

export type ReplayDocument = z.infer<typeof ReplayDocument>;
export type ReplaySubject = ReplayDocument['subject'];
export type SubjectOf<C extends ReplaySubject['command']> = Extract<ReplaySubject, { readonly command: C }>;
export type Expected = z.infer<typeof Expected>;
export type CodeIdentity = z.infer<typeof CodeIdentity>;
export type HostImage = z.infer<typeof HostImage>;

/**
 * Reads a replay file. Throws `UsageError`: FILE_UNREADABLE; REPLAY_INVALID for what is no replay file, is cut off, was
 * made by another version of the format, or has an impossible field, with its path.
 */
export function readReplay(path: string): ReplayDocument {
  return parseReplay(readUserFile(path, 'replay file'), path);
}

/** The same for content; `source` is for messages. */
export function parseReplay(data: Uint8Array, source: string): ReplayDocument {
  if (data.length > FILE_BYTES_MOST) {
    throw new UsageError('REPLAY_INVALID', `${source}: this is no replay file`, {
      expected: 'at most 64 MiB',
      actual: `${data.length} bytes`,
    });
  }
  const input = parseJson(Buffer.from(data).toString('utf8'), source);
  const version = (input as { readonly schemaVersion?: unknown } | null)?.schemaVersion;
  if (version !== REPLAY_SCHEMA_VERSION) {
    const isOther = typeof version === 'number';
    throw new UsageError(
      'REPLAY_INVALID',
      `${source}: ${isOther ? 'this replay file was made by another version of Pincushion' : 'this is no replay file'}`,
      { expected: `schemaVersion ${REPLAY_SCHEMA_VERSION}`, actual: isOther ? String(version) : 'none' },
    );
  }
  return parseConfig(ReplayDocument, input, { code: 'REPLAY_INVALID', where: source });
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new UsageError('REPLAY_INVALID', `${source}: this is no replay file, or it is cut off`, {
      expected: `what a command with a finding has written (*${REPLAY_SUFFIX})`,
      actual: cause instanceof Error ? cause.message : String(cause),
      cause,
    });
  }
}
