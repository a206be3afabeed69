/**
 * A machine that serves requests from outside: they come in by a port, each between two instants of virtual time, and are
 * answered by a program of the machine.
 *
 *   inject ── port ── event ── thread of the program ── ioctl or direct I/O ── reply ── taken by whoever pumps
 *
 * Time passes only while a request is in flight. Whoever pumps does so in slices that end at the end of an instant: everything due then
 * has run. So the virtual time of an arrival says exactly where in the run it came, and the same arrivals at the same times
 * are the same run, whatever the host did in between.
 */
import { nearestName } from '@pincushion/driver';
import type { ErrorCode, ForcedChoice, Port, Task } from '@pincushion/sim';
import { EIO, FaultPlan, PincushionError, UsageError, World } from '@pincushion/sim';
import { Machine } from '@pincushion/machine';
import type { NodeHostFiles } from '../host-files';
import type { DescribedMachine } from '../machine-file';
import { DiskProgram } from './disk-program';
import { NvmeProgram } from './nvme-program';
import { ServedContent } from './served-content';
import type { Arrival, ServedReply, ServedRequest } from './request';

/** Steps of one slice: a few milliseconds of the host's time. */
const SLICE_STEPS = 20_000;
/** Steps of one instant: more are a loop that never ends. */
const INSTANT_STEPS_MOST = 5_000_000;
/** How long requests that are in flight at the end may take: longer than a driver takes to give a command up. */
const LAST_REQUESTS_NS = 300_000_000_000;

export interface ServedOptions {
  readonly seed: number;
  readonly forced?: readonly ForcedChoice[];
  /** Armed when the machine is up. */
  readonly faults: FaultPlan | null;
  /** Of `serve nvme`: the name of the controller; null for disks. */
  readonly controller: string | null;
}

/** Hears what a served machine is asked and answers; all outside of the machine or at the end of a request. */
export interface ServedListener {
  arrived?(atNs: number, arrival: Arrival): void;
  replied?(atNs: number, id: number, reply: ServedReply): void;
}

/** A request that has ended. */
export interface Ended {
  readonly id: number;
  readonly reply: ServedReply;
}

export class ServedMachine {
  readonly world: World;
  readonly machine: Machine;
  /** Requests in flight. */
  inFlight = 0;
  private readonly port: Port<Arrival>;
  private readonly content: ServedContent;
  private readonly disks: DiskProgram;
  private controller: NvmeProgram | null = null;
  private ended: Ended[] = [];
  private nextId = 1;
  private steps = 0;

  /**
   * Boots it. Throws `UsageError`: what booting throws, FAULT_PLAN_INVALID for a device that is not there, DEVICE_UNKNOWN for a
   * controller that is none.
   */
  constructor(
    { description, plugins }: Pick<DescribedMachine, 'description' | 'plugins'>,
    options: ServedOptions,
    hostFiles: NodeHostFiles,
    private readonly listener: ServedListener = {},
  ) {
    const { seed, forced } = options;
    this.world = new World({ seed, ...(forced === undefined ? {} : { forced }) });
    // What comes in is the listener's to keep.
    this.world.inputListener = () => undefined;
    this.machine = this.world.complete(Machine.boot(this.world, description, { plugins, hostFiles }), 'boot');
    this.disks = new DiskProgram(this.machine);
    if (options.controller !== null) this.openController(options.controller);
    this.content = new ServedContent(this.world, hostFiles.anyOpened ? 'any' : 'zeros');
    if (options.faults !== null) this.arm(options.faults);
    this.port = this.world.port('serve', (arrival: Arrival) => {
      this.deliver(arrival);
    });
    this.drainInstant();
  }

  /** Hands a request to the machine, between two slices. Its number. Throws `UsageError` FAULT_PLAN_INVALID for a bad plan. */
  inject(request: ServedRequest): number {
    if (request.kind === 'plan' && request.plan !== null) FaultPlan.parse(request.plan);
    const arrival = { id: this.nextId++, request };
    this.listener.arrived?.(this.world.now, arrival);
    this.inFlight++;
    if (request.kind === 'block') this.content.arrived(arrival.id, request);
    this.port.inject(arrival);
    return arrival.id;
  }

  /** Lets the machine run until a request has ended, or for a slice. What has ended. Nothing in flight: nothing happens. */
  advance(): readonly Ended[] {
    if (this.inFlight === 0) return [];
    const { world } = this;
    const idle = world.run({ events: SLICE_STEPS, until: () => this.ended.length > 0 });
    this.drainInstant();
    if (idle === 'idle' && this.ended.length === 0 && this.inFlight > 0) this.stuck();
    return this.takeEnded();
  }

  /** Lets the machine run to the end of an instant. What has ended. */
  advanceTo(atNs: number): readonly Ended[] {
    this.world.run({ untilNs: atNs });
    return this.takeEnded();
  }

  /** Everything due now runs. Throws DRIVER_ENDLESS_LOOP when that never ends. */
  private drainInstant(): void {
    const { world } = this;
    this.steps = 0;
    const end = world.run({ untilNs: world.now, until: () => ++this.steps > INSTANT_STEPS_MOST });
    if (end !== 'stopped') return;
    throw new PincushionError('DRIVER_ENDLESS_LOOP', `the machine does not come to an end at ${world.now} ns`, {
      expected: `at most ${INSTANT_STEPS_MOST} steps in one instant`,
    });
  }

  /** Lets what is in flight end, shuts the machine down, and looks for what was left behind: findings of the world. */
  shutdown(): void {
    this.world.run({ untilNs: this.world.now + LAST_REQUESTS_NS, until: () => this.inFlight === 0 });
    this.world.complete(this.machine.shutdown(), 'shutdown');
    this.world.checkAtEnd();
  }

  private takeEnded(): readonly Ended[] {
    const { ended } = this;
    this.ended = [];
    return ended;
  }

  /** Device context. */
  private deliver({ id, request }: Arrival): void {
    this.world.spawn(this.serve(id, request), { name: `request ${id}` });
  }

  private *serve(id: number, request: ServedRequest): Task {
    // A program that throws is a finding of its thread; its client is told all the same.
    let reply: ServedReply = { status: -EIO, result: 0, data: new Uint8Array(0) };
    try {
      reply = yield* this.answer(request);
    } finally {
      this.inFlight--;
      if (request.kind === 'block') this.content.ended(id, reply);
      this.ended.push({ id, reply });
      this.listener.replied?.(this.world.now, id, reply);
    }
  }

  private *answer(request: ServedRequest): Task<ServedReply> {
    switch (request.kind) {
      case 'block':
        return yield* this.disks.serve(request);
      case 'nvme':
        return yield* (this.controller as NvmeProgram).serve(request);
      case 'plan':
        if (request.plan === null) this.world.faults.disarm();
        else this.world.faults.armPlan(FaultPlan.parse(request.plan));
        return { status: 0, result: 0, data: new Uint8Array(0) };
    }
  }

  private openController(name: string): void {
    this.machine.device(name);
    this.controller = new NvmeProgram(this.machine, name);
    const error = this.world.complete(this.controller.open(), 'open');
    if (error === 0) return;
    throw new UsageError('DEVICE_UNKNOWN', `${name} has no character device that takes NVMe commands`, {
      expected: 'an NVMe controller',
    });
  }

  private arm(plan: FaultPlan): void {
    const { faults } = this.world;
    faults.armPlan(plan);
    const [missing] = faults.missingDevices() as readonly (string | undefined)[];
    if (missing === undefined) return;
    const names = faults.deviceNames();
    throw new UsageError('FAULT_PLAN_INVALID', `the fault plan wants a device gone that is not there: ${missing}`, {
      expected: `one of ${names.join(', ')}`,
      actual: missing,
      ...(nearestName(missing, names) === null ? {} : { hint: nearestName(missing, names) as string }),
    });
  }

  private stuck(): never {
    const waiters = this.world.waiters().map(({ thread, waitingFor }) => `${thread.name} waits for ${waitingFor}`);
    const code: ErrorCode = 'TASK_STUCK';
    throw new PincushionError(code, `requests are in flight, and nothing is left to happen`, {
      actual: waiters.join('; '),
    });
  }
}
