/**
 * The kinds of recordings there are, told apart by their content. A further kind is a further entry of `FORMATS`.
 */
import { gunzipSync } from 'node:zlib';
import { invalid, isRecord, looksLikeScenario, parseJson, parseScenarios } from './recording';
import type { Scenario } from './recording';
import { looksLikePinCases, parsePinCases } from './pin-cases/table';
import { looksLikeTranscript, parseTranscript } from './nvme/transcript';
import type { Transcript } from './nvme/transcript';
import { looksLikeSelftests, parseSelftests } from './selftests/table';

/** A recording, parsed. */
export interface Recording {
  readonly file: string;
  readonly scenarios: readonly Scenario[];
  /** What a reader should know about the file, such as parts of it that are left out. */
  readonly notes?: readonly string[];
}

interface RecordingFormat {
  readonly name: string;
  /** Whether a document of this kind begins like `first`, the first line of the file or all of it. */
  recognises(first: unknown): boolean;
  open(text: string, file: string): Recording;
}

const FORMATS: readonly RecordingFormat[] = [
  {
    name: 'memory scenarios',
    recognises: (first) => looksLikeScenario(first) && !looksLikeTranscript(first),
    open: (text, file) => ({ file, scenarios: parseScenarios(text, file) }),
  },
  {
    name: 'tables of kernel self-tests',
    recognises: looksLikeSelftests,
    open: (text, file) => ({ file, scenarios: parseSelftests(parseJson(text, file, true), text, file) }),
  },
  {
    name: 'tables of pin cases',
    recognises: looksLikePinCases,
    open: (text, file) => ({ file, ...parsePinCases(parseJson(text, file, true), text, file) }),
  },
];

/** Whether the content is a recording that can be replayed: for looking through folders. Never throws. */
export function isRecording(data: Uint8Array): boolean {
  try {
    return formatOf(textOf(data, ''), '') !== null || isTranscript(data);
  } catch {
    return false;
  }
}

/** Whether the content is what a reference NVMe controller answered, and not memory of a kernel. Never throws. */
export function isTranscript(data: Uint8Array): boolean {
  try {
    return looksLikeTranscript(firstDocument(textOf(data, ''), ''));
  } catch {
    return false;
  }
}

/** Parses a transcript; `data` may be gzip. Throws `UsageError` RECORDING_INVALID that names the step. */
export function readTranscript(file: string, data: Uint8Array): Transcript {
  return parseTranscript(textOf(data, file), file);
}

/**
 * Parses a recording; `data` may be gzip. Throws `UsageError` RECORDING_INVALID that says what is wrong and where: file,
 * line, scenario and step.
 */
export function readRecording(file: string, data: Uint8Array): Recording {
  const text = textOf(data, file);
  if (text.trim() === '') throw invalid(file, 'the file is empty');
  const format = formatOf(text, file);
  if (format !== null) return format.open(text, file);
  throw invalid(file, 'this is no recording that can be replayed', {
    expected: [...FORMATS.map(({ name }) => name), 'transcripts of an NVMe controller'].join(', '),
    actual: describeForeign(text),
  });
}

function formatOf(text: string, file: string): RecordingFormat | null {
  const first = firstDocument(text, file);
  return FORMATS.find((format) => format.recognises(first)) ?? null;
}

/** The first line of a file of lines, else the whole document. A first line that is cut off is told as such. */
function firstDocument(text: string, file: string): unknown {
  const lines = text.split('\n');
  const at = lines.findIndex((line) => line.trim() !== '');
  const first = lines[at];
  try {
    return JSON.parse(first) as unknown;
  } catch {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      if (/^\s*\{\s*"name"/.test(first)) parseJson(first, `${file}:${at + 1}`, true);
      return undefined;
    }
  }
}

function describeForeign(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text) as unknown;
  } catch {
    return 'something that is not JSON';
  }
  if (!isRecord(value)) return 'a JSON document of another kind';
  return `a JSON document with ${Object.keys(value).slice(0, 6).join(', ') || 'nothing in it'}`;
}

function textOf(data: Uint8Array, file: string): string {
  const isGzip = data[0] === 0x1f && data[1] === 0x8b;
  if (!isGzip) return Buffer.from(data).toString('utf8');
  try {
    return gunzipSync(data).toString('utf8');
  } catch (error) {
    throw invalid(file, `the gzip is damaged or cut off: ${error instanceof Error ? error.message : String(error)}`);
  }
}
