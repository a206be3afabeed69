/** An act of the showcase: a minute at most, a few lines that a person enjoys, and something that really runs. */
import type { Interruption } from '../interruption';
import type { Terminal } from '../terminal';

export interface Act {
  /** Word for `pincushion demo NAME`. */
  readonly name: string;
  readonly title: string;
  /**
   * Runs the act; one that takes longer than a moment ends early when `interruption` asks for it. Throws when what it
   * shows does not happen: a showcase that fails must not look like one that works.
   */
  run(stage: Terminal, interruption: Interruption): Promise<void>;
}
