/** What each pin case does, on a machine of its own; the facts it gives are named as in the tables. */
import { openedAtOnce } from '@pincushion/fs';
import type { FileSystem } from '@pincushion/fs';
import {
  HUGETLB_2M_ORDER,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  Memory,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  VM_IO,
  VM_PFNMAP,
  frameOf,
  indexOf,
  kernelProfiles,
  newShmemFile,
  regionOf,
} from '@pincushion/mm';
import type { MappableFile, Mm, VmaBacking } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { DirectIoFiles } from '../direct-io';
import { mountDisk } from '../machine-set-up';
import { MemoryRegion } from './memory-region';

const MIB = 1 << 20;
const RW = PROT_READ | PROT_WRITE;
const ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS;
/** Of /dev/mem: where a PC has its BIOS, below the first frame that memory management knows. */
const BIOS_FRAME = 0xf0;

type Facts = Readonly<Record<string, unknown>>;

/** A machine that behaves like the kernel of the table, and one process. */
class CaseMachine {
  readonly world = new World();
  readonly memory: Memory;
  readonly mm: Mm;

  constructor(kernel: string) {
    this.memory = new Memory(this.world, {
      ramBytes: 64 * MIB,
      hugetlb: { [HUGETLB_2M_ORDER]: 2 },
      profile: kernelProfiles[kernel],
      name: `Linux ${kernel}`,
    });
    this.mm = this.memory.createMm('process');
  }

  settle(result: MaySleep): number {
    return this.world.settle(result);
  }

  map(bytes: number, prot: number, flags: number, backing?: VmaBacking): number {
    return this.settle(this.mm.mmap(bytes, prot, flags, 0, backing));
  }

  /** Two pages of anonymous memory, written. */
  anonymous(): number {
    const address = this.map(2 * PAGE_SIZE, RW, ANONYMOUS);
    this.settle(this.mm.write(address, new Uint8Array(2 * PAGE_SIZE).fill(1)));
    return address;
  }

  filled(file: MappableFile, pages: number): MappableFile {
    this.settle(file.write(0, new Uint8Array(pages * PAGE_SIZE).fill(1), 0, pages * PAGE_SIZE));
    return file;
  }

  get fileSystem(): FileSystem {
    return mountDisk(this.memory);
  }

  get directIo(): DirectIoFiles {
    return new DirectIoFiles((result) => this.settle(result), this.fileSystem);
  }

  file(pages: number): MappableFile {
    const made = openedAtOnce(this.fileSystem.create('file'));
    if (typeof made === 'number') throw new Error('the machine of a pin case has no room for a file');
    const file = this.filled(made, pages);
    this.settle(file.fsync());
    return file;
  }

  frameAt(mm: Mm, address: number): number {
    return mm.pageTable.frameAt(regionOf(address), indexOf(address));
  }

  /** What came of registering a range. */
  register(address: number, bytes = 2 * PAGE_SIZE, isWritable = true): Facts {
    const region = MemoryRegion.register(this.mm, address, bytes, isWritable);
    if (typeof region === 'number') return { errno: -region };
    region.deregister();
    return { reg: 'ok' };
  }
}

type Case = (machine: CaseMachine) => Facts;

/** Of an address that a write then gets a frame of its own. */
function write(machine: CaseMachine, mm: Mm, address: number): number {
  machine.settle(mm.write(address, Uint8Array.of(2)));
  return machine.frameAt(mm, address);
}

const biosArea: VmaBacking = {
  name: '/dev/mem',
  vmFlags: VM_PFNMAP | VM_IO,
  fault: (_vma, pageIndex) => BIOS_FRAME + pageIndex,
};

const CASES: Readonly<Record<string, Case>> = {
  'anonymous private': (machine) => machine.register(machine.map(2 * PAGE_SIZE, RW, ANONYMOUS)),
  'anonymous shared': (machine) => machine.register(machine.map(2 * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS)),
  'ext4 page cache MAP_SHARED, write access': (machine) =>
    machine.register(machine.map(2 * PAGE_SIZE, RW, MAP_SHARED, machine.file(2).backing)),
  'ext4 MAP_PRIVATE': (machine) =>
    machine.register(machine.map(2 * PAGE_SIZE, RW, MAP_PRIVATE, machine.file(2).backing)),
  'tmpfs MAP_SHARED': (machine) => {
    const file = machine.filled(newShmemFile(machine.memory, 'file', 0), 2);
    return machine.register(machine.map(2 * PAGE_SIZE, RW, MAP_SHARED, file.backing));
  },
  'hole in the middle': (machine) => {
    const address = machine.map(3 * PAGE_SIZE, RW, ANONYMOUS);
    machine.settle(machine.mm.munmap(address + PAGE_SIZE, PAGE_SIZE));
    return machine.register(address, 3 * PAGE_SIZE);
  },
  PROT_NONE: (machine) => machine.register(machine.map(2 * PAGE_SIZE, 0, ANONYMOUS)),
  'read-only anonymous, read access': (machine) =>
    machine.register(machine.map(2 * PAGE_SIZE, PROT_READ, ANONYMOUS), 2 * PAGE_SIZE, false),
  '/dev/zero MAP_PRIVATE': (machine) => machine.register(machine.map(2 * PAGE_SIZE, RW, ANONYMOUS)),
  '/dev/mem (VM_PFNMAP) legacy BIOS area': (machine) =>
    machine.register(machine.map(2 * PAGE_SIZE, RW, MAP_SHARED, biosArea)),
  'hugetlb 2 MiB, whole': (machine) => machine.register(machine.map(2 * MIB, RW, ANONYMOUS | MAP_HUGETLB), 2 * MIB),
  '9 O_DIRECT reads of 1 MiB of written file blocks into anonymous memory': (machine) => {
    const { vmstat } = machine.memory;
    const { directIo } = machine;
    const address = machine.map(MIB, RW, ANONYMOUS);
    const [acquired, released] = [vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased];
    let pages = 0;
    for (let k = 0; k < 9; k++) pages = directIo.read(machine.mm, address, MIB / PAGE_SIZE, 0);
    const pins = [vmstat.nrFollPinAcquired - acquired, vmstat.nrFollPinReleased - released];
    return { ret: pages * PAGE_SIZE, pins };
  },
  'O_DIRECT read into a read-only mapping': (machine) => {
    const pages = machine.directIo.read(machine.mm, machine.map(2 * PAGE_SIZE, PROT_READ, ANONYMOUS), 1, 0);
    return pages < 0 ? { ret: -1, errno: -pages } : { ret: pages * PAGE_SIZE };
  },
  'mremap of a pinned page keeps the page': (machine) => {
    const address = machine.anonymous();
    const pinned = regionOrThrow(machine, address);
    const elsewhere = machine.map(4 * MIB, RW, ANONYMOUS);
    machine.settle(machine.mm.mremap(address, 2 * PAGE_SIZE, elsewhere));
    return { same_pfn: machine.frameAt(machine.mm, elsewhere) === frameOf(pinned.pages[0]) };
  },
  'munmap under an MR succeeds; dereg afterwards': (machine) => {
    const address = machine.anonymous();
    const pinned = regionOrThrow(machine, address, PAGE_SIZE);
    machine.settle(machine.mm.munmap(address, 2 * PAGE_SIZE));
    const pages = machine.mm.pinnedVm;
    pinned.deregister();
    return { VmPin_kB: (pages * PAGE_SIZE) / 1024 };
  },
  'ext4 file, pinned, then truncated': (machine) => {
    const file = machine.file(2);
    const address = machine.map(2 * PAGE_SIZE, RW, MAP_SHARED, file.backing);
    const region = MemoryRegion.register(machine.mm, address, 2 * PAGE_SIZE, true);
    if (typeof region === 'number') return { errno: -region };
    machine.settle(file.truncate(0));
    region.deregister();
    return { reg: 'ok' };
  },
  'fork with a pinned anonymous page': (machine) => {
    const address = machine.anonymous();
    regionOrThrow(machine, address);
    const before = machine.frameAt(machine.mm, address);
    const child = forked(machine);
    const copied = machine.frameAt(child, address) !== before;
    const kept = write(machine, machine.mm, address) === before;
    return { child_has_copy_at_fork: copied, parent_keeps_pfn_after_write: kept };
  },
  'fork without a pin: parent write moves to a new page': (machine) => {
    const address = machine.anonymous();
    const before = machine.frameAt(machine.mm, address);
    forked(machine);
    return { parent_keeps_pfn_after_write: write(machine, machine.mm, address) === before };
  },
};

function forked(machine: CaseMachine): Mm {
  const child = machine.mm.fork('child');
  if (typeof child === 'number') throw new Error('the machine of a pin case has no memory for a child');
  return child;
}

function regionOrThrow(machine: CaseMachine, address: number, bytes = 2 * PAGE_SIZE): MemoryRegion {
  const region = MemoryRegion.register(machine.mm, address, bytes, true);
  if (typeof region === 'number') throw new Error('anonymous memory of a pin case cannot be registered');
  return region;
}

/** The facts of a case on a kernel, or null when the case is not known. */
export function runPinCase(name: string, kernel: string): Facts | null {
  if (!Object.hasOwn(CASES, name)) return null;
  const machine = new CaseMachine(kernel);
  try {
    return CASES[name](machine);
  } finally {
    machine.memory.detach();
  }
}
