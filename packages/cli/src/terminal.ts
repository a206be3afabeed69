/**
 * Where a command writes: results to `out`, everything about the doing (warnings, progress, errors) to `err`.
 * A command gets its terminal handed in, so that one process can run a command and keep its text (tests, the showcase).
 * Colours follow NO_COLOR, FORCE_COLOR and whether the stream is a terminal; animation happens on a terminal only.
 */
import { createColors, isColorSupported } from 'picocolors';

export type Colours = ReturnType<typeof createColors>;

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  readonly colours: Colours;
  /** True where a line may be drawn again and again: a progress bar. */
  readonly animated: boolean;
  /** Columns of the output, for wrapping. */
  readonly columns: number;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  // A reader that leaves early (`pincushion run … | head`) is no error of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode);
    throw error;
  });
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    colours: createColors(isColorSupported && coloursWanted()),
    animated: process.stderr.isTTY && process.env['TERM'] !== 'dumb' && process.env['CI'] === undefined,
    columns: Math.min(process.stdout.columns || 100, 120),
  };
}

/** picocolors also colours when only CI is set; a pipe or a file gets plain text here unless FORCE_COLOR asks. */
function coloursWanted(): boolean {
  return process.stdout.isTTY || process.env['FORCE_COLOR'] !== undefined;
}
