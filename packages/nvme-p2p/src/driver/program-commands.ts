/**
 * The calls of programs on `/dev/nvme0`: their commands, with what has to happen around them.
 *
 * ```
 * no I/O may run beside it (effects log: Format)    disks frozen ── command ── disks thawed
 * it may change namespaces                          command ── they are looked for again ── return
 * ```
 * Source followed: `nvme_passthru_start`, `nvme_passthru_end` (Linux 6.18, drivers/nvme/host/core.c), `nvme_dev_ioctl` (ioctl.c).
 */
import type { CharFile, DmaMapper, Gup, Task, Transfer, World } from '@pincushion/driver';
import type { AdminQueue } from './admin-queue';
import type { CommandEffects } from './command-effects';
import type { ControllerFacts } from './initialization';
import type { IoQueues } from './io-queues';
import { transferPages } from './namespace-limits';
import type { Namespaces } from './namespaces';
import { NVME_IOCTL_ADMIN_CMD, Passthrough } from './passthrough';

const PAGE = 4096;

export interface ProgramParts {
  readonly world: World;
  readonly admin: AdminQueue;
  readonly gup: Gup;
  readonly dma: DmaMapper;
  readonly io: IoQueues;
  readonly namespaces: Namespaces;
  /** Null until the controller was asked. */
  facts(): ControllerFacts | null;
  /** Counts a call: a removal waits until the program's buffer is given back, and no mapping outlives the driver. */
  begin(): Transfer;
}

export class ProgramCommands {
  private readonly passthrough: Passthrough;

  constructor(private readonly parts: ProgramParts) {
    const { world, admin, gup, dma, io, namespaces } = parts;
    this.passthrough = new Passthrough({
      admin,
      gup,
      dma,
      get bytesMax() {
        const identity = parts.facts()?.identity;
        return identity === undefined ? PAGE : transferPages(identity) * PAGE;
      },
      get cpu() {
        return world.contexts.cpu % io.interrupted;
      },
      // Any disk carries a command for all namespaces, or for one that is not there: the controller refuses it.
      diskOf: (nsid) => namespaces.disks.find((disk) => disk.nsid === nsid) ?? namespaces.disks.at(0) ?? null,
      queueOf: (cpu) => io.pairs[cpu],
    });
  }

  /** Status of the command, 0 for success; or -errno. Task context. */
  *ioctl(file: CharFile, command: number, arg: unknown): Task<number> {
    const call = this.parts.begin();
    const effects = this.parts.facts()?.effects;
    try {
      if (effects === undefined || command !== NVME_IOCTL_ADMIN_CMD)
        return yield* this.passthrough.ioctl(file, command, arg);
      return yield* this.admin(effects, file, command, arg);
    } finally {
      call.done();
    }
  }

  private *admin(effects: CommandEffects, file: CharFile, command: number, arg: unknown): Task<number> {
    const { namespaces } = this.parts;
    const opcode = opcodeOf(arg);
    const isExclusive = effects.isExclusive(opcode);
    if (isExclusive) yield* namespaces.freezeAll();
    try {
      return yield* this.passthrough.ioctl(file, command, arg);
    } finally {
      if (isExclusive) namespaces.unfreezeAll();
      if (effects.changesNamespaces(opcode)) {
        namespaces.requestScan();
        yield* namespaces.settled();
      }
    }
  }
}

/** Of what a program gave; -1 when it gave none. */
function opcodeOf(arg: unknown): number {
  const opcode = typeof arg === 'object' && arg !== null && 'opcode' in arg ? arg.opcode : -1;
  return typeof opcode === 'number' ? opcode : -1;
}
