/**
 * Act: one page, one device, one fork. A NIC receives into a page that a program registered; the program forks in between
 * and goes on. Kernels up to 5.8 gave the page away: the device wrote where nobody looked. Since 5.9 a page that may be
 * pinned is copied for the child at the fork. Then what no kernel mends: giving the page up oneself.
 */
import Table from 'cli-table3';
import type { Process } from '@pincushion/machine';
import { Machine, parseMachine } from '@pincushion/machine';
import { MADV_DONTNEED, indexOf, kernelProfiles, regionOf } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';
import { errnoName, PincushionError, World } from '@pincushion/sim';
import { PLAIN_TABLE } from '../table-style';
import type { Terminal } from '../terminal';
import type { Act } from './act';
import type { EchoNicExample } from './echo-nic-example';
import { expectDone, loadEchoNic } from './echo-nic-example';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PAGE = 4096;
const KERNELS = ['5.4', '6.18'] as const;

/** What the program does to its own memory between registering a page and receiving into it. */
type Deed = 'fork' | 'dontneed' | 'munmap';

/** A line of the story: what happened, and what each looks at afterwards. */
interface Scene {
  readonly what: string;
  readonly program: Sight;
  readonly child: Sight | null;
  /** The frame the device was given, and the byte in it. */
  readonly device: Sight;
}

/** A frame and its first byte; null: nothing is mapped. */
type Sight = { readonly frame: number; readonly byte: string } | null;

export const forkCorruptsRdma: Act = {
  name: 'fork-corrupts-rdma',
  title: 'A fork takes a page away from under a device',
  run(stage) {
    const example = loadEchoNic();
    const { bold, dim } = stage.colours;
    stage.out('  A program registers a page with the NIC, forks, writes "w" to the page, and a packet "P" arrives.\n');
    for (const kernel of KERNELS) {
      const scenes = new Story(example, kernel).tell('fork');
      expectOutcome(`fork on ${kernel}`, scenes, kernel === '6.18');
      stage.out(`\n  ${bold(`Linux ${kernel}`)}${dim(` (${kernelProfiles[kernel].basis})`)}\n`);
      stage.out(table(scenes, stage));
      stage.out(verdict(MORAL[kernel], kernel === '6.18', stage));
    }
    stage.out(`\n  ${bold('What 6.18 still does not prevent')}: giving the page up oneself, under the pin\n`);
    for (const deed of ['dontneed', 'munmap'] as const) {
      const scenes = new Story(example, '6.18').tell(deed);
      expectOutcome(deed, scenes, false);
      stage.out(table(scenes.slice(-2), stage));
      stage.out(verdict(MORAL[deed], false, stage));
    }
    return Promise.resolve();
  },
};

const MORAL = {
  '5.4':
    "the write moved the program to a copy; the device kept the old page, which is now the child's: the packet never arrives",
  '6.18':
    'fork saw that the page may be pinned and gave the child a copy at once; program and device still share a page',
  dontneed: 'the program has a new page, the device the old one: no error anywhere, and the packet is lost',
  munmap: 'the page lives on until it is unpinned, but the program can no longer see it',
} as const;

/** Throws when the story did not end as it is told: a showcase that fails must not look like one that works. */
function expectOutcome(story: string, scenes: readonly Scene[], arrives: boolean): void {
  const { program, device } = scenes[scenes.length - 1];
  if (device?.byte !== 'P' || (program?.byte === 'P') !== arrives) {
    throw new PincushionError('INTERNAL', `${story}: the packet ${arrives ? 'did not arrive' : 'arrived'}`, {
      expected: `the program ${arrives ? 'sees' : 'does not see'} "P"`,
      actual: `the program sees ${program?.byte ?? 'nothing'}, the device ${device?.byte ?? 'nothing'}`,
    });
  }
}

/** Frames and bytes that program, child and device look at, scene by scene. Frames are named in the order of sight. */
function table(scenes: readonly Scene[], { colours }: Terminal): string {
  const names = new Map<number, string>();
  const sight = (seen: Sight): string => {
    if (seen === null) return '-';
    const name = names.get(seen.frame) ?? `page ${String.fromCharCode(65 + names.size)}`;
    names.set(seen.frame, name);
    return `${name} "${seen.byte}"`;
  };
  const rows = new Table({ ...PLAIN_TABLE });
  rows.push(['', 'program', 'child', 'device'].map((head) => colours.dim(head)));
  for (const { what, program, child, device } of scenes) {
    const agree = program !== null && program.frame === device?.frame;
    const shown = [device, program, child].map(sight);
    rows.push([`  ${what}`, shown[1], shown[2], (agree ? colours.green : colours.red)(shown[0])]);
  }
  return `${rows.toString().replaceAll(/ +$/gm, '')}\n`;
}

function verdict(text: string, good: boolean, { colours }: Terminal): string {
  return good ? `  ${colours.green('✓')} ${text}\n` : `  ${colours.red('✗')} ${text}\n`;
}

/** One machine, one program, one page of it. */
class Story {
  private readonly world = new World();
  private readonly machine: Machine;
  private readonly scenes: Scene[] = [];
  private readonly program: Process;
  private child: Process | null = null;
  private address = 0;
  private deviceFrame = 0;

  constructor(
    private readonly example: EchoNicExample,
    kernel: string,
  ) {
    const { plugin } = example;
    const description = parseMachine(
      { memory: { ram: '64MiB' }, kernel, ledger: 'full', devices: [{ name: 'nic0', plugin: plugin.name }] },
      'act',
    );
    this.machine = this.world.complete(Machine.boot(this.world, description, { plugins: [plugin] }), 'boot');
    this.program = this.machine.process('program');
  }

  tell(deed: Deed): readonly Scene[] {
    this.world.complete(this.play(deed), 'program');
    this.world.complete(this.machine.shutdown(), 'shutdown');
    if (this.world.findings.all.length > 0) {
      throw new PincushionError('INTERNAL', this.world.findings.all[0].summary);
    }
    return this.scenes;
  }

  private *play(deed: Deed): Task {
    const { program } = this;
    const area = program.mmap(2 * PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS);
    this.address = yield* settled(area);
    yield* this.store('.', 0);
    yield* this.store('P', PAGE);
    const socket = yield* this.example.EchoSocket.open(program);
    if (typeof socket === 'number') throw new PincushionError('INTERNAL', `open: ${errnoName(socket)}`);
    yield* expectDone('register', socket.register(this.address, 2 * PAGE));
    this.deviceFrame = this.look(program)?.frame ?? 0;
    this.note('the page is registered: the device keeps its frame');
    yield* expectDone('send', socket.send(PAGE, PAGE)); // the packet that will come back
    if (deed === 'fork') {
      const child = program.fork('child');
      if (typeof child === 'number') throw new PincushionError('INTERNAL', `fork: ${errnoName(child)}`);
      this.child = child;
      this.note('fork');
      yield* this.store('w', 0);
      this.note('the program writes "w" to the page');
    } else if (deed === 'dontneed') {
      yield* settled(program.mm.madvise(this.address, PAGE, MADV_DONTNEED));
      yield* this.store('w', 0);
      this.note('madvise(MADV_DONTNEED), then the program writes "w"');
    } else {
      yield* settled(program.munmap(this.address, PAGE));
      this.note('munmap');
    }
    yield* expectDone('receive', socket.receive(0, PAGE));
    this.note('the device has received the packet');
    yield* socket.close();
  }

  private note(what: string): void {
    this.scenes.push({
      what,
      program: this.look(this.program),
      child: this.child === null ? null : this.look(this.child),
      device: this.sight(this.deviceFrame),
    });
  }

  /** What a process maps at the address, without touching it. */
  private look({ mm }: Process): Sight {
    const region = regionOf(this.address);
    return this.sight(mm.pageTable.frameAt(region, indexOf(this.address)));
  }

  private sight(frame: number): Sight {
    if (frame === 0) return null;
    const first = new Uint8Array(1);
    this.machine.memory.bytes.read(frame, 0, first, 0, 1);
    return { frame, byte: String.fromCharCode(first[0]) };
  }

  private *store(byte: string, offset: number): Task {
    const page = new Uint8Array(offset === 0 ? 1 : PAGE).fill(byte.charCodeAt(0));
    const written = this.program.write(this.address + offset, page);
    if ((yield* settled(written)) < 0) throw new PincushionError('INTERNAL', 'store');
  }
}

function* settled(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}
