/**
 * The hardware of my-device: a disk with one queue pair in host memory, after NVMe.
 *
 *     command     64 bytes: opcode and identifier, PRP 1 and 2, first sector, number of sectors; the layout is NVMe's
 *     completion  16 bytes: the last word has identifier, phase and status
 *
 * PRP 1 is where the data begins, anywhere in a page. PRP 2 is the second page, or, where there are more than two, the address of a
 * list of all but the first. Commands are worked on side by side, a page at a time, so they may end in another order.
 */
import { DeviceModel, hardware } from '@pincushion/driver';
import { z } from 'zod';
import { SECTOR_BYTES, SectorStore } from './sector-store';

/** What the bus finds the device by; package.json says the same under `pincushion`. Put your own here. */
export const IDS = { vendor: 0x1234, device: 0x0001 } as const;
/** Offsets in BAR 0; all registers have 32 bits. */
export const Register = {
  /** Sectors of 512 bytes. */
  capacity: 0x00,
  /** 1 switches the queues on, empty; 0 off, and forgets what is under way. */
  enable: 0x04,
  submissions: 0x08,
  completions: 0x10,
  tail: 0x18,
  head: 0x1c,
} as const;
export const Opcode = { flush: 0, write: 1, read: 2 } as const;
/** Status of a completion, as NVMe's generic ones. */
export const Status = { ok: 0, invalidOpcode: 1, dataTransferError: 4, outOfRange: 0x80 } as const;

/** Entries of both rings. */
export const ENTRIES = 32;
export const COMMAND_WORDS = 16;
export const COMPLETION_WORDS = 4;
/** The longest transfer, pages. */
export const PAGES_MAX = 32;

const PAGE = 4096;
const Model = z.strictObject({
  sectors: z.int().min(8).max(0x7fff_ffff).default(65_536),
  /** From the doorbell to the first byte. */
  seekNs: z.int().min(0).default(10_000),
  nsPerByte: z.int().min(0).default(1),
});

/** A command that is being worked on. */
interface Active {
  readonly words: Int32Array;
  readonly bytes: number;
  done: number;
  event: number;
}

@hardware({ name: 'my-device', ...IDS, bars: [{ bytes: 32 }], vectors: 1, config: Model })
export class MyDeviceHardware extends DeviceModel<z.output<typeof Model>> {
  private readonly registers = new Uint32Array(8);
  private readonly store = new SectorStore();
  private readonly active = new Set<Active>();
  private readonly page = new Uint8Array(PAGE);
  private readonly address = new Int32Array(2);
  private readonly entry = new Int32Array(COMPLETION_WORDS);
  private fetched = 0;
  private posted = 0;
  /** Counts how often the queues were switched on: a completion that is late must not go into the new ones. */
  private life = 0;

  override powerOn(): void {
    this.registers.fill(0);
    this.registers[Register.capacity >> 2] = this.config.sectors;
    this.switchOff();
  }

  override mmioRead(_bar: number, offset: number): number {
    return this.registers[offset >> 2];
  }

  override mmioWrite(_bar: number, offset: number, value: number): void {
    if (offset === Register.capacity) return;
    this.registers[offset >> 2] = value;
    if (offset === Register.enable) this.switchOff();
    if (offset === Register.tail && this.registers[Register.enable >> 2] === 1) this.fetch(value % ENTRIES);
  }

  private switchOff(): void {
    for (const command of this.active) this.cancel(command.event);
    this.active.clear();
    this.fetched = 0;
    this.posted = 0;
    this.life++;
  }

  private fetch(tail: number): void {
    while (this.fetched !== tail) {
      const words = new Int32Array(COMMAND_WORDS);
      const errno = this.dmaReadWords(this.wide(Register.submissions) + this.fetched * 64, words, 0, COMMAND_WORDS);
      this.fetched = (this.fetched + 1) % ENTRIES;
      if (errno === 0) this.begin(words);
    }
  }

  private begin(words: Int32Array): void {
    const opcode = words[0] & 0xff;
    const moves = opcode === Opcode.read || opcode === Opcode.write;
    const bytes = moves ? ((words[12] & 0xffff) + 1) * SECTOR_BYTES : 0;
    const command: Active = { words, bytes, done: 0, event: 0 };
    this.active.add(command);
    command.event = this.after(this.config.seekNs, () => {
      if (!moves) this.end(command, opcode === Opcode.flush ? Status.ok : Status.invalidOpcode);
      else if (wideAt(words, 10) + bytes / SECTOR_BYTES > this.config.sectors) this.end(command, Status.outOfRange);
      else this.nextPage(command);
    });
  }

  private nextPage(command: Active): void {
    const { words, done } = command;
    const index = Math.floor(((words[6] & (PAGE - 1)) + done) / PAGE);
    const iova = this.prp(words, index);
    const bytes = Math.min(PAGE - (index === 0 ? words[6] & (PAGE - 1) : 0), command.bytes - done);
    command.event = this.after(bytes * this.config.nsPerByte, () => {
      if (iova < 0 || this.move(command, iova, bytes) !== 0) this.end(command, Status.dataTransferError);
      else if ((command.done += bytes) < command.bytes) this.nextPage(command);
      else this.end(command, Status.ok);
    });
  }

  /** Where page `index` of the data lies; negative when the list cannot be read. */
  private prp(words: Int32Array, index: number): number {
    if (index === 0) return wideAt(words, 6);
    const pages = Math.ceil(((words[6] & (PAGE - 1)) + ((words[12] & 0xffff) + 1) * SECTOR_BYTES) / PAGE);
    if (pages <= 2) return wideAt(words, 8);
    const errno = this.dmaReadWords(wideAt(words, 8) + (index - 1) * 8, this.address, 0, 2);
    return errno === 0 ? wideAt(this.address, 0) : errno;
  }

  private move({ words, done }: Active, iova: number, bytes: number): number {
    const at = wideAt(words, 10) * SECTOR_BYTES + done;
    if ((words[0] & 0xff) === Opcode.read) {
      this.store.read(at, this.page, bytes);
      return this.dmaWrite(iova, this.page, 0, bytes);
    }
    const errno = this.dmaRead(iova, this.page, 0, bytes);
    if (errno === 0) this.store.write(at, this.page, bytes);
    return errno;
  }

  private end(command: Active, status: number): void {
    this.active.delete(command);
    const identifier = command.words[0] >>> 16;
    if (!this.completionsWatched) {
      this.publish(identifier, status);
      return;
    }
    // A fault plan may lose it, delay it or let it come twice: what is lost then is the entry, not only the interrupt.
    const { life } = this;
    this.completion(() => {
      if (life === this.life) this.publish(identifier, status);
    });
  }

  private publish(identifier: number, status: number): undefined {
    const round = Math.floor(this.posted / ENTRIES);
    this.entry[3] = identifier | (((round & 1) ^ 1) << 16) | (status << 17);
    const iova = this.wide(Register.completions) + (this.posted % ENTRIES) * COMPLETION_WORDS * 4;
    this.dmaWriteWords(iova, this.entry, 0, COMPLETION_WORDS);
    this.posted++;
    this.raise(0);
  }

  private wide(register: number): number {
    return this.registers[register >> 2] + this.registers[(register >> 2) + 1] * 0x1_0000_0000;
  }
}

function wideAt(words: Int32Array, at: number): number {
  return (words[at] >>> 0) + (words[at + 1] >>> 0) * 0x1_0000_0000;
}
