import type { Terminal } from './terminal';

/** What a subcommand is given: where to write, and where to leave its exit code (`done` unless it says otherwise). */
export interface Invocation {
  readonly terminal: Terminal;
  exitCode: number;
  /** The line that runs again what the command is about to fail with; told after the error. */
  again: string | null;
}
