/**
 * Where in a driver, test or program a service was called.
 *
 * The first stack frame outside of the product's own packages. Driver packages, examples and tests count as outside:
 * they are who a finding wants to name. Taking the trace costs some microseconds, putting it into words many more,
 * so a trace is taken on error paths, in the full ledger and when a task is created, and worded only when reported.
 */
import { dirname, sep } from 'node:path';

/** Packages whose frames are skipped: those that offer services, not those that use them. */
const OWN_PACKAGES: readonly string[] = [
  'sim',
  'mm',
  'dma',
  'block',
  'schemes',
  'fs',
  'driver',
  'machine',
  'testing',
  'workloads',
  'conformance',
  'cli',
];

/** The folder that holds this package and its siblings: `packages` in a clone, `@pincushion` when installed. */
const PACKAGES_FOLDER = forwardSlashes(dirname(dirname(__dirname)));

/** A release by way of a managed resource passes a dozen of our frames before it comes to its driver. */
const FRAMES_MAX = 18;
const UNKNOWN_SITE = 'unknown call site';

/** A stack trace that was taken but not yet put into words. */
export class CallTrace {
  /** Defined by `Error.captureStackTrace`; V8 words it at the first read. */
  private readonly stack!: string;

  /** @param framesMax how far up the caller may be; each frame costs about half a microsecond */
  constructor(framesMax = FRAMES_MAX) {
    const before = Error.stackTraceLimit;
    Error.stackTraceLimit = framesMax;
    // Without the second argument, which would hide this frame: that costs as much as a frame, and it is skipped anyway.
    Error.captureStackTrace(this);
    Error.stackTraceLimit = before;
  }

  /** `file.ts:12:5 (Class.method)`, or `unknown call site` when every frame is the product's own. */
  site(skipPackages: readonly string[] = OWN_PACKAGES): string {
    for (const line of this.stack.split('\n')) {
      const frame = parseFrame(line);
      if (frame !== null && !isOwn(frame.file, skipPackages)) return wordFrame(frame);
    }
    return UNKNOWN_SITE;
  }
}

/** Where the caller's caller outside of the product is, worded at once. Costs microseconds: error paths only. */
export function callSite(skipPackages: readonly string[] = OWN_PACKAGES): string {
  return new CallTrace().site(skipPackages);
}

interface Frame {
  name: string;
  file: string;
  position: string;
}

/** Reads `    at EchoNic.register (/p/nic.ts:31:20)` and `    at /p/nic.ts:31:20`; null for native frames. */
function parseFrame(line: string): Frame | null {
  const match = /^\s+at (?:(.*) \()?(.+?):(\d+):(\d+)\)?$/.exec(line);
  if (match === null) return null;
  const [, name = '', file = '', row = '', column = ''] = match;
  if (file.startsWith('node:') || file === '<anonymous>') return null;
  return { name, file: forwardSlashes(file.replace(/^file:\/\//, '')), position: `${row}:${column}` };
}

function isOwn(file: string, skipPackages: readonly string[]): boolean {
  if (!file.startsWith(`${PACKAGES_FOLDER}/`)) return false;
  const [name = '', folder = ''] = file.slice(PACKAGES_FOLDER.length + 1).split('/');
  return (folder === 'src' || folder === 'dist') && skipPackages.includes(name);
}

function wordFrame(frame: Frame): string {
  const base = frame.file.slice(frame.file.lastIndexOf('/') + 1);
  const name = frame.name.replace(/^(?:async )?(?:new )?(?:Object\.)?/, '').replace(/ \[as .*\]$/, '');
  return `${base}:${frame.position}${name === '' || name === '<anonymous>' ? '' : ` (${name})`}`;
}

function forwardSlashes(path: string): string {
  return sep === '/' ? path : path.replaceAll(sep, '/');
}
