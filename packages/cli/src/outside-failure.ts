/**
 * Whose fault an exception is that came out of a run. Drivers and workload modules run in this process, and a mistake in
 * one of them is a result of the run (exit code 1), not an internal error of ours: the innermost stack frame decides.
 */
import { PincushionError } from '@pincushion/sim';

/** A source or compiled file of one of our own packages; the examples are outside. */
const OWN_FILE = /[\\/](packages|node_modules[\\/]@pincushion)[\\/][^\\/]+[\\/](src|dist)[\\/]/;

/** The error to show: one of ours goes through as it is, one of somebody else's code becomes TASK_FAILED. */
export function blameOutsiders(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof PincushionError) return error;
  const [innermost] = framesOf(error);
  if ((innermost as string | undefined) === undefined || OWN_FILE.test(innermost)) return error;
  return new PincushionError('TASK_FAILED', `a workload or driver failed: ${messageWithPlace(error)}`, {
    cause: error,
  });
}

/** The message and, where one is known, the place in somebody else's file: enough to find a mistake in one's own. */
export function messageWithPlace(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // The compiler's message has the place in it, and after that its own stack, which is of no use to anybody here.
  const [compilerSays, compilerStack] = error.message.split('\n\nCaused by:');
  if ((compilerStack as string | undefined) !== undefined) return compilerSays.trim();
  const place = framesOf(error).find((frame) => !OWN_FILE.test(frame));
  return `${error.message}${place === undefined ? '' : ` (${place})`}`;
}

/** The stack frames without those of Node itself, innermost first. */
function framesOf(error: Error): readonly string[] {
  const lines = error.stack?.split('\n') ?? [];
  return lines.filter((line) => /^\s+at /.test(line) && !line.includes('node:')).map((line) => line.trim());
}
