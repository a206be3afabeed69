/**
 * The NVMe driver: the hooks, and the states of a controller.
 *
 *   probe      admin queue; start; namespaces get disks; /dev/nvme0
 *   start      disable, enable, who is it, I/O queues, asynchronous events        (also after a reset)
 *   timeout -> Abort -> (as long again) -> reset: delete the queues, disable, take commands back, start, issue them again
 *              a fatal status of the controller, or an admin command that is not answered: reset at once
 *   reset fails, or the device is pulled out -> every bio ends, the disks are gone
 *
 * initialization.ts, io-queues.ts, event-requests.ts and namespaces.ts have the parts of a start, in the order Linux sends them;
 * program-commands.ts what programs send themselves.
 * Left out: host memory buffer, power states, suspend with power kept.
 * Source followed: `nvme_probe`, `nvme_reset_work`, `nvme_timeout`, `nvme_dev_disable`, `nvme_remove` (Linux 6.18,
 * drivers/nvme/host/pci.c), `nvme_start_ctrl` (core.c).
 */
import type { DeviceWorkItem, ManagedCoherent, RemoveReason, Task } from '@pincushion/driver';
import {
  BlkStatus,
  BlockDisks,
  CharDevices,
  Cpus,
  DeviceClock,
  DeviceWork,
  DmaMapper,
  Driver,
  EIO,
  ENODEV,
  ENOMEM,
  Gup,
  Interrupts,
  Log,
  PeerMemory,
  PincushionError,
  Registers,
  WaitQueue,
  driver,
  errnoName,
} from '@pincushion/driver';
import { AdminOpcode } from '../spec/opcodes';
import { CQE_BYTES, SQE_BYTES } from '../spec/registers';
import { AdminCalls } from './admin-calls';
import { ADMIN_DEPTH, AdminQueue } from './admin-queue';
import { mapCmb } from './cmb';
import { ControllerControl } from './controller-control';
import { NvmeDriverConfig } from './driver-config';
import { EventRequests } from './event-requests';
import type { ControllerIdentity } from './identity';
import { initializeController } from './initialization';
import type { ControllerFacts } from './initialization';
import { IoQueues } from './io-queues';
import { Namespaces } from './namespaces';
import { ProgramCommands } from './program-commands';
import type { QueuePair } from './queue-pair';
import type { QueueOwner } from './queue-setup';

const MATCH = Object.freeze([
  { vendor: 0x1b36, device: 0x0010 },
  { vendor: 0x144d, device: 0xa808 },
]);

@driver({
  name: 'nvme',
  api: 1,
  match: MATCH,
  config: NvmeDriverConfig,
  deps: [
    Registers,
    DmaMapper,
    Interrupts,
    DeviceWork,
    DeviceClock,
    BlockDisks,
    CharDevices,
    Gup,
    Cpus,
    Log,
    PeerMemory,
  ],
})
export class NvmeDriver extends Driver<typeof NvmeDriverConfig> implements QueueOwner {
  /** Resets since `probe`. */
  resets = 0;
  /** Aborts sent since `probe`. */
  aborts = 0;
  private facts: ControllerFacts | null = null;
  private control!: ControllerControl;
  private admin!: AdminQueue;
  private calls!: AdminCalls;
  private io!: IoQueues;
  private events!: EventRequests;
  private namespaces!: Namespaces;
  private programs!: ProgramCommands;
  private resetWork!: DeviceWorkItem;
  private resetDone!: WaitQueue;
  private live = false;
  private resetting = false;
  private dead = false;
  private abortsUnderWay = 0;

  constructor(
    private readonly registers: Registers,
    private readonly dma: DmaMapper,
    private readonly interrupts: Interrupts,
    private readonly work: DeviceWork,
    private readonly clock: DeviceClock,
    private readonly blockDisks: BlockDisks,
    private readonly charDevices: CharDevices,
    private readonly gup: Gup,
    private readonly cpus: Cpus,
    private readonly log: Log,
    private readonly peers: PeerMemory,
  ) {
    super();
  }

  /** Who the controller says it is; null before it was asked. */
  get identity(): ControllerIdentity | null {
    return this.facts?.identity ?? null;
  }

  /** Whether the driver has given the controller up. */
  get failed(): boolean {
    return this.dead;
  }

  override *probe(): Task {
    const { device, registers } = this;
    this.control = new ControllerControl(registers, this.clock);
    this.resetDone = new WaitQueue(device.world, `${device.path}: reset`);
    this.resetWork = this.own(this.work.work('reset', () => this.resetController()));
    this.makeAdminQueue();
    this.makeParts();
    if (this.control.gone) throw this.couldNotStart(-ENODEV);
    const cmb = mapCmb(registers, this.peers, this.log);
    if (cmb !== null) this.own(cmb);
    const started = yield* this.start();
    if (started < 0) throw this.couldNotStart(started);
    this.live = true;
    this.io.goLive();
    yield* this.namespaces.find();
    this.own(
      this.charDevices.register(device.name, {
        ioctl: (file, command, arg) => this.programs.ioctl(file, command, arg),
      }),
    );
  }

  /** The disks refuse new bios already. Unless the device is gone, what is in flight completes first. */
  override *remove(why: RemoveReason): Task {
    const { namespaces, io } = this;
    namespaces.close();
    if (why === 'surprise' || this.dead || this.control.gone) {
      this.giveUp(BlkStatus.ioerr);
      yield* namespaces.settled();
      yield* this.resetDone.waitUntil(() => !this.resetting);
      yield* this.idle();
      return;
    }
    yield* namespaces.settled();
    for (const disk of namespaces.disks) yield* disk.waitIdle();
    yield* this.resetDone.waitUntil(() => !this.resetting);
    this.live = false;
    io.freeze();
    if (!this.isDead()) {
      yield* io.delete();
      const stopped = yield* this.control.shutdown();
      if (stopped < 0) this.log.note(`shutdown: ${errnoName(stopped)}`);
      yield* this.control.disable();
    }
    this.giveUp(BlkStatus.ioerr);
    yield* this.idle();
  }

  override *reset(): Task {
    if (this.startReset()) yield* this.resetDone.waitUntil(() => !this.resetting);
  }

  /** Softirq. Pulled out counts: its registers are all ones. */
  isDown(): boolean {
    return this.control.failed;
  }

  /** Softirq. Source followed: `nvme_timeout`. */
  abort(queue: QueuePair, tag: number): boolean {
    if (this.abortsUnderWay >= (this.identity?.abortsMax ?? 1)) return false;
    this.aborts++;
    this.abortsUnderWay++;
    this.log.note(`I/O tag ${tag} (queue ${queue.id}) timeout, aborting`);
    const command = { opcode: AdminOpcode.abort, cdw10: queue.id | (queue.commandId(tag) << 16) };
    const done = (): undefined => {
      this.abortsUnderWay--;
    };
    if (this.admin.send(command, this.config.adminTimeout, done)) return true;
    this.abortsUnderWay--;
    this.log.note('no room for an abort'); // The next timeout of the command resets the controller.
    return true;
  }

  /** Softirq. */
  needsReset(queue: QueuePair, tag: number): void {
    this.log.note(`I/O tag ${tag} (queue ${queue.id}) timeout, reset controller`);
    this.startReset();
  }

  private makeAdminQueue(): void {
    const { device, config } = this;
    const timer = this.own(
      this.work.timer('admin timeout', () => {
        this.admin.checkTimeouts();
      }),
    );
    this.admin = new AdminQueue(
      device.world,
      device.path,
      this.coherent(ADMIN_DEPTH * SQE_BYTES, 'admin submission queue'),
      this.coherent(ADMIN_DEPTH * CQE_BYTES, 'admin completion queue'),
      this.registers,
      this.clock,
      timer,
      config.adminTimeout,
      () => {
        // While a controller is brought up, who waits for the command hears of it.
        if (!this.live) return;
        this.log.note('admin command timeout, reset controller');
        this.startReset();
      },
    );
    const handler = (): undefined => {
      this.admin.poll();
    };
    this.own(this.interrupts.request(0, 'admin', handler, 0));
  }

  private makeParts(): void {
    const { device, config, admin, log } = this;
    const { world, path, name } = device;
    const calls = new AdminCalls(admin, this.dma, path);
    this.calls = calls;
    this.io = new IoQueues({
      world,
      path,
      config,
      calls,
      admin,
      log,
      owner: this,
      cpus: this.cpus,
      registers: this.registers,
      interrupts: this.interrupts,
      dma: this.dma,
      control: this.control,
      coherent: (bytes, what) => this.coherent(bytes, what),
      own: (resource) => {
        this.own(resource);
      },
    });
    this.namespaces = new Namespaces({
      world,
      path,
      name,
      config,
      calls,
      log,
      queues: this.io.pairs,
      register: (disk) => this.own(this.blockDisks.register(disk)),
      forget: (registration) => this.giveBack(registration),
    });
    this.programs = new ProgramCommands({
      world,
      admin,
      gup: this.gup,
      dma: this.dma,
      io: this.io,
      namespaces: this.namespaces,
      facts: () => this.facts,
      begin: () => this.track('passthrough'),
    });
    this.events = new EventRequests(admin, calls, log, {
      namespacesChanged: () => {
        this.namespaces.requestScan(true);
      },
      internalError: () => {
        log.note('persistent internal error, reset controller');
        this.startReset();
      },
    });
  }

  /** Brings the controller up, as far as I/O queues and events. Task context. 0 or -errno; throws what it refused. */
  private *start(): Task<number> {
    const stopped = yield* this.control.disable();
    if (stopped < 0) return stopped;
    this.admin.clear();
    const { submissionsIova, completionsIova } = this.admin;
    const enabled = yield* this.control.enable(ADMIN_DEPTH, submissionsIova, completionsIova);
    if (enabled < 0 || this.isDead()) return enabled < 0 ? enabled : -EIO;
    this.admin.open();
    this.facts = yield* initializeController(this.calls, this.clock, this.log, this.facts);
    this.namespaces.identity = this.facts.identity;
    if (!(yield* this.io.setUp(this.facts.identity))) return -EIO;
    yield* this.events.enable(this.facts.identity.oaes);
    return 0;
  }

  /** Any context. False when the controller is beyond help. */
  private startReset(): boolean {
    if (this.dead) return false;
    if (!this.resetting) {
      this.resetting = true;
      this.live = false;
      this.io.freeze();
      if (!this.resetWork.queue()) this.resetting = false;
    }
    return this.resetting;
  }

  private *resetController(): Task {
    this.resets++;
    const error = yield* this.restart();
    this.resetting = false;
    if (error < 0) {
      this.log.note(`reset failed: ${errnoName(error)}; removing the disks`);
      this.giveUp(BlkStatus.ioerr);
    }
    this.resetDone.wakeAll();
  }

  /** Stops the controller, takes its commands back, and brings it up again. 0 or -errno. Source: `nvme_reset_work`. */
  private *restart(): Task<number> {
    if (this.control.ready) yield* this.io.delete();
    this.admin.stop();
    const stopped = yield* this.control.disable();
    if (stopped < 0 || this.isDead()) return stopped < 0 ? stopped : -EIO;
    this.io.takeBack();
    try {
      const started = yield* this.start();
      if (started < 0) return started;
    } catch (error) {
      if (error instanceof PincushionError) return -EIO;
      throw error;
    }
    if (this.isDead()) return -EIO;
    this.live = true;
    this.io.goLive();
    this.namespaces.requestScan();
    return 0;
  }

  /** Asked anew after each sleep: a surprise removal may have come meanwhile. */
  private isDead(): boolean {
    return this.dead;
  }

  /** Nothing will complete any more: every command and every bio ends. Any context. */
  private giveUp(status: number): void {
    this.dead = true;
    this.live = false;
    this.admin.close();
    for (const disk of this.namespaces.disks) disk.gone = true;
    this.io.fail(status);
  }

  private couldNotStart(errno: number): PincushionError {
    return new PincushionError('DRIVER_PROBE_FAILED', 'the controller could not be enabled', {
      device: this.device.path,
      errno,
      expected: 'a controller that answers as the specification says',
      actual: errnoName(errno),
    });
  }

  /** Memory for both sides that lasts as long as the device. */
  private coherent(bytes: number, what: string): ManagedCoherent {
    const memory = this.dma.coherent(bytes, what);
    if (memory !== null) return this.own(memory);
    throw new PincushionError('OUT_OF_MEMORY', `no ${bytes} bytes for ${what}`, {
      device: this.device.path,
      errno: -ENOMEM,
    });
  }
}
