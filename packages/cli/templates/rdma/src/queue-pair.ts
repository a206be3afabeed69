/**
 * The driver's side of a queue pair: work requests go into the one queue, completions come out of the other, in the same order.
 * After an error of the whole pair nothing more goes in; that is what `failed` says.
 */
import type { ManagedCoherent, Registers, Transfer } from '@pincushion/driver';
import { EIO } from '@pincushion/driver';
import { Operation, QueueRegister, Register, Status } from './my-device.hardware';
import type { WorkRequest } from './my-device.library';
import { COMPLETION_ENTRIES, COMPLETION_WORDS, REQUEST_ENTRIES, REQUEST_WORDS } from './queue-pair-state';

export class QueuePair {
  /** Completions taken since the start. */
  completed = 0;
  /** Why the pair was stopped, -errno; 0 while it runs. */
  failed = 0;
  /** Oldest first. */
  private readonly outstanding: Transfer[] = [];
  private tail = 0;
  private readonly at: number;

  /** Starts it. The caller gives the memory back after `stop`. */
  constructor(
    readonly number: number,
    private readonly registers: Registers,
    readonly requests: ManagedCoherent,
    readonly completions: ManagedCoherent,
  ) {
    this.at = Register.queuePairs + number * Register.queuePairBytes;
    registers.write64lohi(this.at + QueueRegister.requests, requests.iova);
    registers.write64lohi(this.at + QueueRegister.completions, completions.iova);
    registers.write32(this.at + QueueRegister.running, 1);
  }

  get oldest(): Transfer | null {
    return this.outstanding.at(0) ?? null;
  }

  get full(): boolean {
    return this.outstanding.length >= REQUEST_ENTRIES - 1;
  }

  /** Any context; not when `full`. */
  post(request: WorkRequest, transfer: Transfer): void {
    const { operation, length, localKey, remoteKey, localOffset, remoteOffset, id } = request;
    const words = [
      Operation[operation],
      length,
      localKey,
      remoteKey,
      ...halves(localOffset),
      ...halves(remoteOffset),
      id,
    ];
    this.requests.words.set(words, this.tail * REQUEST_WORDS);
    this.outstanding.push(transfer);
    this.tail = (this.tail + 1) % REQUEST_ENTRIES;
    this.registers.write32(this.at + QueueRegister.tail, this.tail);
  }

  /** Ends the requests whose completions are there. Any context. Whether there were any. */
  reap(): boolean {
    const { words } = this.completions;
    const before = this.completed;
    for (let transfer = this.oldest; transfer !== null; transfer = this.oldest) {
      const entry = (this.completed % COMPLETION_ENTRIES) * COMPLETION_WORDS;
      if (words[entry + 3] !== this.completed + 1) break;
      this.completed++;
      this.outstanding.shift();
      transfer.done(words[entry + 1] === Status.ok ? 0 : -EIO);
    }
    return this.completed !== before;
  }

  /** The hardware forgets the pair, and whoever waits for one of its requests goes on. Any context. Twice is once. */
  stop(result: number): undefined {
    this.registers.write32(this.at + QueueRegister.running, 0);
    if (this.failed === 0) this.failed = result;
    for (const transfer of this.outstanding.splice(0)) transfer.done(result);
  }
}

function halves(offset: number): readonly [number, number] {
  return [offset | 0, Math.floor(offset / 0x1_0000_0000)];
}
