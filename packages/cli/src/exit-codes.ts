/** The exit codes of the `pincushion` command; scripts and CI rely on them, so they never change their meaning. */
export const ExitCode = {
  /** Everything was done and nothing was found. */
  done: 0,
  /** The emulated world went wrong: lost data, a leak, a DMA fault, a disagreement. */
  findings: 1,
  /** The user's input is at fault: command line, file, machine, workload. */
  usage: 2,
  /** Pincushion itself is at fault. */
  internal: 70,
  /** Interrupted by Ctrl-C (128 + SIGINT). */
  interrupted: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];
