import { inlineHotPaths } from './inlining';
import { runCommandLine } from './program';
import { processTerminal } from './terminal';

inlineHotPaths();
void runCommandLine(process.argv.slice(2), processTerminal()).then((code) => {
  // Not process.exit(): output that waits in a pipe is still to be written.
  process.exitCode = code;
});
