/**
 * A program copies from one SSD to another: each piece is read into a buffer and written from it, past the page cache.
 *
 * ```
 * host     source ══ DMA ══> host memory ══ DMA ══> target        every byte passes the root complex twice
 * peer     source ══ DMA ══> CMB of the target,  target reads its own memory      only commands and completions pass it
 * ```
 * With `peer` the buffer is a mapping of the controller memory buffer of the target (`p2pmem/allocate`): direct I/O pins its pages
 * as it pins any, with FOLL_PCI_P2PDMA, and the way from SSD to SSD decides what the mapping for DMA becomes.
 */
import type { MachineInput } from '@pincushion/machine';
import { Machine, parseMachine } from '@pincushion/machine';
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE } from '@pincushion/mm';
import { plugin } from '@pincushion/nvme-p2p';
import type { MaySleep, Task, Tracepoint } from '@pincushion/sim';
import { World } from '@pincushion/sim';

const PIECE_BYTES = 128 * 1024;

export interface CopySetting {
  /** What the data goes through. */
  readonly through: 'host' | 'peer';
  /** Ports of the two SSDs, as in `tree`. */
  readonly source?: string;
  readonly target?: string;
  /** A multiple of 128 KiB; 1 MiB unless given. */
  readonly bytes?: number;
  readonly seed?: number;
}

export interface CopyReport {
  /** Bytes copied; or -errno of the first call that failed. */
  readonly result: number;
  /** The target has what the source has. */
  readonly same: boolean;
  /** Bytes that DMA moved through the root complex, with commands and completions, and past it, through the switch. */
  readonly rootComplexBytes: number;
  readonly switchBytes: number;
  /** Pages that were pinned for DMA, each as often as it was: of main memory, and of the memory of an SSD. */
  readonly hostPages: number;
  readonly peerPages: number;
  readonly virtualNs: number;
}

/** Two root complexes, of which one is in no list; the first has a switch, one port of which has ACS. */
function tree(): MachineInput['pci'] {
  const ports = [
    { name: 'sw0p0' },
    { name: 'sw0p1' },
    { name: 'sw0p2', acs: ['request-redirect' as const, 'completion-redirect' as const] },
  ];
  return {
    rootComplexes: [
      { name: 'rc0', ports: [{ name: 'rp0', switch: { name: 'sw0', ports } }] },
      { name: 'rc1', hostBridge: '1234:5678', ports: [{ name: 'rp1' }] },
    ],
  };
}

/** Boots a machine with two SSDs, copies, compares, and shuts it down. Findings are those of the world. */
export function copyBetweenDisks(setting: CopySetting): CopyReport {
  const { through, source = 'sw0p0', target = 'sw0p1', bytes = 1024 * 1024, seed = 1 } = setting;
  const world = new World({ seed });
  const ssd = (name: string, port: string, model: object): object => ({
    name,
    plugin: plugin.name,
    port,
    model: { namespaces: [{ capacity: '64MiB' }], ...model },
  });
  const description = parseMachine(
    {
      memory: { ram: '256MiB' },
      ledger: 'full',
      pci: tree(),
      devices: [ssd('source', source, {}), ssd('target', target, { cmb: '1MiB', serial: 'PIN0002' })],
    },
    'p2p-copy',
  );
  const machine = world.complete(Machine.boot(world, description, { plugins: [plugin] }));
  const report = world.complete(copying(machine, through, bytes));
  world.complete(machine.shutdown());
  world.checkAtEnd();
  for (const { code, summary } of world.findings.all) throw new Error(`${code}: ${summary}`);
  return report;
}

function* copying(machine: Machine, through: 'host' | 'peer', bytes: number): Task<CopyReport> {
  const { world } = machine;
  const program = machine.process('copy');
  const from = yield* program.open('/dev/sourcen1');
  const to = yield* program.open('/dev/targetn1');
  // Content of its own in each sector, written through main memory before anything is counted.
  const scratch = yield* called(program.mmap(PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  const pattern = new Uint8Array(PIECE_BYTES);
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    for (let i = 0; i < PIECE_BYTES; i++) pattern[i] = (i * 7 + (i >> 9) * 13 + at / PIECE_BYTES) & 0xff;
    yield* called(program.write(scratch, pattern));
    yield* program.pwrite(from, scratch, PIECE_BYTES, at);
  }
  let buffer = scratch;
  if (through === 'peer') {
    const pool = yield* program.open('/sys/bus/pci/devices/target/p2pmem/allocate');
    buffer = yield* called(program.mmapFile(pool, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED));
    yield* program.close(pool);
  }
  const traffic = new Traffic(machine);
  const beganNs = world.now;
  let result = 0;
  for (let at = 0; at < bytes && result >= 0; at += PIECE_BYTES) {
    const read = yield* program.pread(from, buffer, PIECE_BYTES, at);
    const written = read < 0 ? read : yield* program.pwrite(to, buffer, PIECE_BYTES, at);
    result = written < 0 ? written : result + written;
  }
  const virtualNs = world.now - beganNs;
  traffic.stop();
  let same = result === bytes;
  const seen = new Uint8Array(PIECE_BYTES);
  for (let at = 0; at < bytes && same; at += PIECE_BYTES) {
    yield* program.pread(from, scratch, PIECE_BYTES, at);
    yield* called(program.read(scratch, pattern));
    yield* program.pread(to, scratch, PIECE_BYTES, at);
    yield* called(program.read(scratch, seen));
    same = Buffer.compare(pattern, seen) === 0;
  }
  yield* program.exit();
  const { rootComplexBytes, switchBytes, hostPages, peerPages } = traffic;
  return { result, same, rootComplexBytes, switchBytes, hostPages, peerPages, virtualNs };
}

function* called(r: MaySleep): Task<number> {
  return typeof r === 'number' ? r : yield* r;
}

/** Which way the DMA of all devices goes, from now on. */
class Traffic {
  rootComplexBytes = 0;
  switchBytes = 0;
  hostPages = 0;
  peerPages = 0;
  readonly stop: () => undefined;

  constructor({ world, iommu, memory }: Machine) {
    /** Addresses from here on are of the bus: a switch delivers them. */
    const firstOnBus = iommu.iovaEnd / PAGE_SIZE;
    const listener = ({ name }: Tracepoint, first: number, second: number, third: number): undefined => {
      if (name === 'gup:pin') this.pinned(first, second, memory.pciStart);
      else if (second >= firstOnBus) this.switchBytes += third;
      else this.rootComplexBytes += third;
      return undefined;
    };
    this.stop = world.trace.subscribe(listener, ['dma:access', 'gup:pin']);
  }

  private pinned(frame: number, pages: number, pciStart: number): void {
    if (frame >= pciStart) this.peerPages += pages;
    else this.hostPages += pages;
  }
}
