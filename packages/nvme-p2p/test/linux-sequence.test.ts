/** The commands that the NVMe driver of Linux 6.1 sent to a reference controller: on ours, alone on a bus, every one succeeds. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REG_ACQ, REG_AQA, REG_ASQ, REG_CC, REG_CSTS, REG_DOORBELLS } from '../src/spec/registers';
import { busBed } from './bare-bus';

const GOLDEN = join(__dirname, '../../../test/golden/linux-6.1/nvme-driver.json');

interface Step {
  readonly reg?: 'CC' | 'AQA' | 'ASQ' | 'ACQ';
  readonly v?: string;
  readonly admin?: string;
  readonly io?: string;
  readonly opc?: string;
  readonly cns?: string;
  readonly csi?: string;
  readonly fid?: string;
  readonly cdw11?: string;
  readonly args?: string;
  readonly nsid?: string;
  readonly sq?: number;
  readonly times?: number;
}

const REGISTERS = { CC: REG_CC, AQA: REG_AQA, ASQ: REG_ASQ, ACQ: REG_ACQ } as const;
const IO_OPCODES: Readonly<Record<string, number>> = { READ: 2, WRITE: 1, DSM: 9, WRITE_ZEROES: 8 };
/** Where this host keeps things. */
const SQ = [0x0, 0x40000, 0x50000];
const CQ = [0x1000, 0x20000, 0x30000];
const SHADOWS = 0x60000;
const EVENTS = 0x61000;
const DATA = 0x100000;
/** Log page 05h, 1024 dwords; the recording does not say which log was read, and this is what Linux reads at a probe. */
const EFFECTS_LOG = 5 | (1023 << 16);
const NSID_COMMANDS: readonly string[] = ['0x0', '0x3', '0x5'];

class LinuxHost {
  readonly statuses: number[] = [];
  private readonly bed = busBed(
    { queuePairs: 4, cmb: '4MiB', shadowDoorbells: true, namespaces: [{ capacity: '8MiB' }] },
    { ramBytes: 0x200000, ringsEnd: DATA, memoryBars: [4 * 1024 * 1024] },
  );
  private readonly tails = [0, 0, 0];
  private readonly heads = [0, 0, 0];
  private readonly phases = [1, 1, 1];
  private depths = [32, 1024, 1024];
  private shadows = false;
  private cid = 0;
  private deleted = 0;

  step(step: Step): void {
    for (let i = 0; i < (step.times ?? 1); i++) {
      if (step.reg !== undefined) this.register(step.reg, step.v ?? '');
      else if (step.io !== undefined) this.io(step.io, step.sq ?? 1, Number(step.nsid));
      else this.admin(step);
    }
  }

  get ready(): boolean {
    return (this.bed.controller.mmioRead(0, REG_CSTS, 4) & 3) === 1;
  }

  private register(name: keyof typeof REGISTERS, value: string): void {
    const { controller } = this.bed;
    const pages = { ASQ: SQ[0], ACQ: CQ[0] } as const;
    const number = name === 'ASQ' || name === 'ACQ' ? pages[name] : Number(value);
    if (name === 'AQA') this.restart();
    controller.mmioWrite(0, REGISTERS[name], number, name === 'ASQ' || name === 'ACQ' ? 8 : 4);
  }

  /** Rings are empty before the controller is enabled. */
  private restart(): void {
    this.tails.fill(0);
    this.heads.fill(0);
    this.phases.fill(1);
    this.shadows = false;
    this.deleted = 0;
    this.bed.controller.words.fill(0, 0, SHADOWS / 4);
  }

  private admin(step: Step): void {
    const opcode = Number(step.opc);
    const words = new Int32Array(16);
    words[6] = DATA;
    switch (step.admin) {
      case 'IDENTIFY':
        words[1] = NSID_COMMANDS.includes(step.cns ?? '') ? 1 : 0;
        words[10] = Number(step.cns);
        words[11] = Number(step.csi) << 24;
        break;
      case 'GET_LOG_PAGE':
        words[1] = -1;
        words[10] = EFFECTS_LOG;
        break;
      case 'SET_FEATURES':
        words[10] = Number(step.fid);
        words[11] = Number(step.cdw11);
        break;
      case 'CREATE_CQ':
      case 'CREATE_SQ': {
        const given = new Map((step.args ?? '').split(', ').map((each) => each.split('=') as [string, string]));
        const number = (name: string): number => Number(given.get(name));
        const isSq = step.admin === 'CREATE_SQ';
        const id = number(isSq ? 'sqid' : 'cqid');
        words[6] = isSq ? SQ[id] : CQ[id];
        words[10] = id | (number('qsize') << 16);
        words[11] = number('qflags') | (number(isSq ? 'cqid' : 'vector') << 16);
        break;
      }
      case 'DELETE_SQ':
      case 'DELETE_CQ':
        words[10] = (this.deleted++ % 2) + 1;
        break;
      case 'DBBUF_CONFIG':
        words[6] = SHADOWS;
        words[8] = EVENTS;
        break;
      default: // An asynchronous event request carries nothing.
    }
    this.send(0, opcode, words, step.admin !== 'ASYNC_EV_REQ');
    if (step.admin === 'DBBUF_CONFIG') this.shadows = true;
  }

  private io(name: string, queue: number, nsid: number): void {
    const words = new Int32Array(16);
    words[1] = nsid;
    words[6] = DATA;
    words[12] = name === 'DSM' ? 0 : 7;
    if (name === 'DSM') words[11] = 4;
    this.send(queue, IO_OPCODES[name], words, true);
  }

  private send(queue: number, opcode: number, words: Int32Array, completes: boolean): void {
    const { controller, world } = this.bed;
    words[0] = opcode | (++this.cid << 16);
    controller.words.set(words, (SQ[queue] + 64 * this.tails[queue]) / 4);
    this.tails[queue] = (this.tails[queue] + 1) % this.depths[queue];
    this.ring(queue, 0, this.tails[queue]);
    world.run();
    const at = (CQ[queue] + 16 * this.heads[queue]) / 4;
    const last = controller.words[at + 3];
    const isNew = ((last >>> 16) & 1) === this.phases[queue];
    if (isNew !== completes) throw new Error(`command ${opcode}: ${isNew ? 'a' : 'no'} completion`);
    if (!isNew) return;
    if ((last & 0xffff) !== (this.cid & 0xffff)) throw new Error('another command has completed');
    this.statuses.push(last >>> 17);
    if (++this.heads[queue] === this.depths[queue]) {
      this.heads[queue] = 0;
      this.phases[queue] ^= 1;
    }
    this.ring(queue, 4, this.heads[queue]);
  }

  private ring(queue: number, offset: number, value: number): void {
    const { controller } = this.bed;
    if (this.shadows && queue !== 0) controller.words[(SHADOWS + 8 * queue + offset) / 4] = value;
    controller.mmioWrite(0, REG_DOORBELLS + 8 * queue + offset, value, 4);
  }
}

describe('what Linux 6.1 sends: probe, reads and writes, discard, reset', () => {
  it('succeeds command by command', () => {
    const { steps } = JSON.parse(readFileSync(GOLDEN, 'utf8')) as { readonly steps: readonly Step[] };
    const host = new LinuxHost();
    for (const step of steps) host.step(step);
    const commands = steps.flatMap((step) => (step.reg === undefined ? Array<Step>(step.times ?? 1).fill(step) : []));
    const completing = commands.filter(({ admin }) => admin !== 'ASYNC_EV_REQ');
    expect(host.statuses).toEqual(completing.map(() => 0));
    expect(host.statuses.length).toBeGreaterThan(140);
    expect(host.ready).toBe(true);
  });
});
