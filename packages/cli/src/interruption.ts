/**
 * Ctrl-C while a command works: the first one asks it to stop at the next slice and to say what it has so far, the second
 * one ends the process at once. SIGTERM asks in the same way.
 */
import { constants } from 'node:os';

export class Interruption {
  private signal: 'SIGINT' | 'SIGTERM' | null = null;
  private readonly listeners = (['SIGINT', 'SIGTERM'] as const).map((name) => {
    const listener = (): void => {
      if (this.signal !== null) process.exit(128 + constants.signals[name]);
      this.signal = name;
    };
    process.on(name, listener);
    return () => process.off(name, listener);
  });

  get requested(): boolean {
    return this.signal !== null;
  }

  /** 130 after Ctrl-C. */
  get exitCode(): number {
    return this.signal === null ? 0 : 128 + constants.signals[this.signal];
  }

  /** Lets the host deliver signals and write output; then the work goes on. */
  turn(): Promise<void> {
    return new Promise((go) => setImmediate(go));
  }

  /** From here on signals do what they usually do. */
  dispose(): void {
    for (const stop of this.listeners) stop();
  }
}
