/**
 * Faults a test can plant in a controller, to see what a driver makes of them.
 * Counts go down with each hit; zero, as at power-on, means a healthy device.
 */
export class PlannedFaults {
  /** So many I/O commands are done, but their completion entries never appear. */
  loseCompletions = 0;
  /** So many I/O commands are never finished: they stay inside until aborted or the controller is reset. */
  stall = 0;
  /** So many I/O commands end with this status in place of their work. */
  failCommands = 0;
  failStatus = 0;

  /** So many admin commands are never finished. */
  stallAdmin = 0;
  /** The controller does not become ready any more: enabling it ends in a fatal status. */
  refuseEnable = false;

  /** Whether one for I/O commands is planted. */
  get armed(): boolean {
    return (this.loseCompletions | this.stall | this.failCommands) !== 0;
  }
}
