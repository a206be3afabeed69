/**
 * The hardware of my-device: an engine that takes commands from a ring in host memory, one after the other, and writes the number
 * of the last finished one beside their results into host memory too.
 *
 *     ring    32 bytes a command: operation, bytes, source, destination (64 bits each), value, fence
 *     fences  word 0 the fence of the last finished command, then a result for each entry of the ring
 */
import { DeviceModel, hardware } from '@pincushion/driver';
import { z } from 'zod';

/** What the bus finds the device by; package.json says the same under `pincushion`. Put your own here. */
export const IDS = { vendor: 0x1234, device: 0x0001 } as const;
/** Offsets in BAR 0; all registers have 32 bits. */
export const Register = { ring: 0x00, fences: 0x08, control: 0x10, tail: 0x14 } as const;
/** What is written to `control`. Starting begins at the first entry of the ring. */
export const Control = { stop: 0, start: 1 } as const;
export const Operation = { fill: 1, copy: 2 } as const;
/** Results in the fence memory. */
export const Result = { ok: 0, fault: 1, unknownOperation: 2 } as const;

export const RING_ENTRIES = 16;
export const COMMAND_WORDS = 8;
/** Where the results begin in the fence memory, words. */
export const RESULTS_AT = 4;

const CHUNK_BYTES = 1024;
const Model = z.strictObject({ nsPerByte: z.int().min(0).default(1) });

@hardware({ name: 'my-device', ...IDS, bars: [{ bytes: 32 }], vectors: 1, config: Model })
export class MyDeviceHardware extends DeviceModel<z.output<typeof Model>> {
  private readonly registers = new Uint32Array(8);
  /** The command that is being executed. */
  private readonly command = new Int32Array(COMMAND_WORDS);
  private readonly chunk = new Uint8Array(CHUNK_BYTES);
  private readonly word = new Int32Array(1);
  private head = 0;
  private done = 0;
  private busy = false;
  private event = 0;

  override powerOn(): void {
    this.cancel(this.event);
    this.registers.fill(0);
    this.head = 0;
    this.busy = false;
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    this.registers[offset >> 2] = value;
    if (offset === Register.control) this.restart();
    if (offset === Register.tail) this.next();
  }

  private restart(): void {
    this.cancel(this.event);
    this.head = 0;
    this.busy = false;
    this.registers[Register.tail >> 2] = 0;
  }

  /** Takes the next command, when there is one. */
  private next(): undefined {
    const running = this.registers[Register.control >> 2] === Control.start;
    if (!running || this.busy || this.head === this.registers[Register.tail >> 2] % RING_ENTRIES) return;
    this.busy = true;
    this.done = 0;
    const errno = this.dmaReadWords(
      this.address(Register.ring) + this.head * COMMAND_WORDS * 4,
      this.command,
      0,
      COMMAND_WORDS,
    );
    if (errno === 0) this.nextChunk();
    else this.finish(Result.fault);
  }

  private nextChunk(): void {
    const bytes = Math.min(CHUNK_BYTES, (this.command[1] >>> 0) - this.done);
    this.event = this.after(bytes * this.config.nsPerByte, () => {
      this.moveChunk(bytes);
    });
  }

  private moveChunk(bytes: number): void {
    const { command, chunk } = this;
    const source = wide(command[2], command[3]) + this.done;
    const destination = wide(command[4], command[5]) + this.done;
    let errno = 0;
    if (command[0] === Operation.fill) {
      errno = this.dmaFill(destination, command[6] & 0xff, bytes);
    } else if (command[0] === Operation.copy) {
      errno = this.dmaRead(source, chunk, 0, bytes);
      if (errno === 0) errno = this.dmaWrite(destination, chunk, 0, bytes);
    } else {
      this.finish(Result.unknownOperation);
      return;
    }
    this.done += bytes;
    if (errno !== 0) this.finish(Result.fault);
    else if (this.done < command[1] >>> 0) this.nextChunk();
    else this.finish(Result.ok);
  }

  /** The result first, then the fence, then the interrupt: who sees the fence sees all that came before it. */
  private finish(result: number): void {
    const fences = this.address(Register.fences);
    this.write(fences + (RESULTS_AT + this.head) * 4, result);
    this.write(fences, this.command[7]);
    this.head = (this.head + 1) % RING_ENTRIES;
    this.busy = false;
    this.raise(0);
    this.next();
  }

  private write(iova: number, value: number): void {
    this.word[0] = value;
    this.dmaWriteWords(iova, this.word, 0, 1);
  }

  private address(register: number): number {
    return wide(this.registers[register >> 2], this.registers[(register >> 2) + 1]);
  }
}

function wide(low: number, high: number): number {
  return (low >>> 0) + (high >>> 0) * 0x1_0000_0000;
}
