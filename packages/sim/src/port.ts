/**
 * Ports: the only door for input from outside of the world.
 *
 * A message is injected between two slices of a run, recorded with the virtual time, and delivered as an event in device
 * context. What was recorded can be given to `World.replayInputs`, and the same run happens again.
 */

/** A message as it was recorded. */
export interface RecordedInput {
  /** Virtual time of the injection in nanoseconds. */
  readonly atNs: number;
  readonly port: string;
  readonly message: unknown;
}

export class Port<T> {
  constructor(
    readonly name: string,
    private readonly accept: (message: T) => void,
  ) {}

  /** Hands a message to the world. From outside of the machine only, between slices. */
  inject(message: T): void {
    this.accept(message);
  }
}
