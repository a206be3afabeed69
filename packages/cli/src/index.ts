/** The `pincushion` command as a function: for tools that run it inside their own process. */
export { runCommandLine } from './program';
export { ExitCode } from './exit-codes';
export type { Colours, Terminal } from './terminal';
export { processTerminal } from './terminal';
