/** A controller that keeps what it is told, in the words of the recordings of Linux. */
import { hardware, hardwareMeta } from '@pincushion/driver';
import type { HardwareMeta } from '@pincushion/driver';
import { NvmeController } from '../src/index';
import { REG_ACQ, REG_AQA, REG_ASQ, REG_CC } from '../src/spec/registers';

const REGISTERS = new Map<number, string>([
  [REG_CC, 'CC'],
  [REG_AQA, 'AQA'],
  [REG_ASQ, 'ASQ'],
  [REG_ACQ, 'ACQ'],
]);
const ADMIN = new Map<number, string>([
  [0x00, 'DELETE_SQ'],
  [0x01, 'CREATE_SQ'],
  [0x02, 'GET_LOG_PAGE'],
  [0x04, 'DELETE_CQ'],
  [0x05, 'CREATE_CQ'],
  [0x06, 'IDENTIFY'],
  [0x08, 'ABORT'],
  [0x09, 'SET_FEATURES'],
  [0x0c, 'ASYNC_EV_REQ'],
  [0x15, 'NS_ATTACHMENT'],
  [0x7c, 'DBBUF_CONFIG'],
  [0x80, 'FORMAT_NVM'],
]);
const IO = new Map<number, string>([
  [0x00, 'FLUSH'],
  [0x01, 'WRITE'],
  [0x02, 'READ'],
  [0x08, 'WRITE_ZEROES'],
  [0x09, 'DSM'],
]);

export class RecordingController extends NvmeController {
  /** Register writes and commands, in order. */
  readonly seen: string[] = [];
  /** Dword 0, and the number of ranges of a discard, of the I/O commands. */
  readonly ioCommands: { readonly name: string; readonly usesSgl: boolean; readonly ranges: number }[] = [];

  override mmioWrite(bar: number, offset: number, value: number, width: 1 | 2 | 4 | 8): void {
    const name = bar === 0 ? REGISTERS.get(offset) : undefined;
    if (name !== undefined) {
      this.seen.push(name === 'ASQ' || name === 'ACQ' ? `${name} page` : `${name} 0x${(value >>> 0).toString(16)}`);
    }
    super.mmioWrite(bar, offset, value, width);
  }

  override dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    const error = super.dmaReadWords(iova, into, at, words);
    if (words === 16) this.keep(into, at, this.isAdmin(iova));
    return error;
  }

  private isAdmin(iova: number): boolean {
    const base = this.submissionQueues[0]?.base ?? -1;
    return iova >= base && iova < base + 32 * 64;
  }

  private keep(words: Int32Array, at: number, isAdmin: boolean): void {
    const opcode = words[at] & 0xff;
    const name = (isAdmin ? ADMIN : IO).get(opcode) ?? `${isAdmin ? 'admin' : 'io'} 0x${opcode.toString(16)}`;
    this.seen.push(isAdmin ? name + admin(name, words[at + 10], words[at + 11]) : name);
    if (isAdmin) return;
    this.ioCommands.push({ name, usesSgl: (words[at] & 0xc000) !== 0, ranges: words[at + 10] + 1 });
  }
}
hardware({ ...hardwareMeta(NvmeController), name: 'recording' } as HardwareMeta)(RecordingController);

/** What an admin command is about, as the recordings say it. */
function admin(name: string, cdw10: number, cdw11: number): string {
  const id = cdw10 & 0xffff;
  const size = cdw10 >>> 16;
  const flags = cdw11 & 0xffff;
  if (name === 'IDENTIFY') return ` cns 0x${(cdw10 & 0xff).toString(16)}`;
  if (name === 'SET_FEATURES') return ` 0x${(cdw10 & 0xff).toString(16)} to 0x${(cdw11 >>> 0).toString(16)}`;
  if (name === 'CREATE_CQ') {
    return ` cqid=${id}, vector=${cdw11 >>> 16}, qsize=${size}, qflags=${flags}, ien=${(flags >>> 1) & 1}`;
  }
  if (name === 'CREATE_SQ') return ` sqid=${id}, cqid=${cdw11 >>> 16}, qsize=${size}, qflags=${flags}`;
  return '';
}
