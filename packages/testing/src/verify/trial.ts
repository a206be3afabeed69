/**
 * One trial: a driver lives its whole life once, in a world of its own, under one condition.
 *
 *     plug in, probe -> the example program, once or twice at a time -> it ends -> removal -> rest -> leak check
 *
 * Time is counted in steps: one event, or one thread up to where it blocks. The condition may call a hook of the
 * lifecycle after step n, let the n-th call of a service fail, or spoil the hardware. Everything follows the seed, so the same
 * condition is the same trial. What an innocent driver may answer to a condition (a refused probe, a negative errno) is
 * no problem; an exception, a program that waits for ever and everything in the world's findings is.
 */
import type { Device, DriverClass, ExampleProgram, HardwareClass } from '@pincushion/driver';
import { callHook, hotplugBytes } from '@pincushion/driver';
import type { Process } from '@pincushion/machine';
import { Machine, parseMachine } from '@pincushion/machine';
import type { ErrorCode, FaultRule, FaultSite, Task, Thread } from '@pincushion/sim';
import { DecisionTrail, FaultPlan, World, errnoName } from '@pincushion/sim';
import { reportListeners } from '../leak-check';
import { CallRecord } from './contract/call-record';
import type { RefusedCall, Step } from './contract/call-record';
import { observeServices, observedDriver } from './contract/observed-services';
import type { Mischief } from './mischief';
import { HardwareCalls, spoiltHardware } from './mischief';
import type { Problem } from './problem';
import { innermost, isRefusal, problemOfError, problemOfFinding } from './problem';

/** After the last program has ended the hardware may go on for so long before the device is removed. */
const STEPS_AFTER = 500;
/** Small enough to boot quickly, large enough for queues and buffers. */
const MEMORY_BYTES = 32 * 1024 * 1024;

/** What is verified. */
export interface Subject {
  readonly driver: DriverClass;
  readonly hardware: HardwareClass;
  readonly example: ExampleProgram | null;
  /** Configuration of the driver, as a machine file gives it. */
  readonly config: Record<string, unknown>;
  /** Settings of the hardware model. */
  readonly model: Record<string, unknown>;
  /** After so many steps a wait is endless. */
  readonly stepsMax: number;
}

/** What happens to the device in the middle of a trial. */
export type Act = 'surprise' | 'driver-unbind' | 'reset' | 'suspend';

const ACT_NAMES = Object.freeze({
  surprise: 'removal after unplugging',
  'driver-unbind': 'removal of the driver',
  reset: 'reset',
  suspend: 'suspend and resume',
});

export interface Conditions {
  readonly seed: number;
  /** Programs that run the example at the same time; 1 unless given. */
  readonly programs?: number;
  /** Order of threads; as they became runnable unless given. */
  readonly schedule?: 'fifo' | 'random';
  /** After step `step`, `act` begins. */
  readonly act?: { readonly step: number; readonly act: Act };
  /** The `nth` call at the site fails. */
  readonly fault?: { readonly site: FaultSite; readonly nth: number; readonly errno: number };
  /** What else goes wrong, counted from power-on. */
  readonly plan?: readonly FaultRule[];
  readonly mischief?: Mischief;
  /** Removed and probed again so often before the example runs. */
  readonly rebinds?: number;
  /** Instead of the subject's. */
  readonly config?: Record<string, unknown>;
  /** Codes that are no fault of the driver under this condition. */
  readonly tolerated?: readonly ErrorCode[];
  /** Nothing is done to the driver, so nothing may be refused either. */
  readonly undisturbed?: boolean;
  /** The decisions are noted. */
  readonly trail?: boolean;
  /** The driver's calls of kernel services are recorded. */
  readonly recorded?: boolean;
  /** One such call is refused. */
  readonly refused?: RefusedCall;
}

export interface Outcome {
  readonly problems: readonly Problem[];
  /** Steps up to the end of the example. */
  readonly steps: number;
  readonly hardware: HardwareCalls;
  /** Calls at the fault sites. */
  readonly calls: Readonly<Record<CountedSite, number>>;
  /** The decisions of the trial, when they were noted. */
  readonly trail: string | null;
  /** The driver's calls, when they were recorded, and how many of them could be refused. */
  readonly lifetime: readonly Step[];
  readonly refusable: Readonly<Record<RefusedCall['of'], number>>;
}

/** Fault sites that a trial can let fail. */
export type CountedSite = 'alloc' | 'pin' | 'map' | 'dma';

/** Runs the trial. Throws only for faults of the kit itself; not for anything that the driver does. */
export function runTrial(subject: Subject, conditions: Conditions): Outcome {
  return new Trial(subject, conditions).run();
}

class Trial {
  private readonly world: World;
  private readonly trail: DecisionTrail | null;
  private readonly record: CallRecord | null;
  private readonly problems: Problem[] = [];
  private readonly calls = new HardwareCalls();
  private readonly threads: Thread[] = [];
  private device: Device | null = null;
  private steps = 0;
  private ranOn = false;

  constructor(
    private readonly subject: Subject,
    private readonly conditions: Conditions,
  ) {
    this.world = new World({ seed: conditions.seed, schedule: conditions.schedule ?? 'fifo' });
    this.trail = conditions.trail === true ? new DecisionTrail(this.world) : null;
    this.world.choices.listener = this.trail;
    const { recorded = false, refused } = conditions;
    this.record = recorded || refused !== undefined ? new CallRecord(this.world, refused ?? null) : null;
  }

  run(): Outcome {
    const { world } = this;
    try {
      this.live();
    } catch (error) {
      // Out of an event: an interrupt handler, a timer or the model. The world is not to be trusted any more.
      this.problems.push(problemOfError(error, `an event in ${world.contexts.describe()}`, world.now));
    }
    const tolerated = new Set(this.conditions.tolerated);
    const problems = [...this.problems, ...world.findings.all.map(problemOfFinding)];
    return {
      problems: problems.filter(({ code }) => !tolerated.has(code)),
      steps: this.steps,
      hardware: this.calls,
      calls: {
        alloc: world.faults.count('alloc'),
        pin: world.faults.count('pin'),
        map: world.faults.count('map'),
        dma: world.faults.count('dma'),
      },
      trail: this.trail?.text() ?? null,
      lifetime: this.record?.steps ?? [],
      refusable: this.record?.refusable ?? { all: 0, throws: 0 },
    };
  }

  private live(): void {
    const { world, conditions } = this;
    const { fault, act, plan } = conditions;
    const { hardware, model } = this.subject;
    const pci = { hotplug: hotplugBytes(hardware, model, 'dev0') };
    const memory = { ram: MEMORY_BYTES };
    const description = parseMachine({ memory, cpus: 2, ledger: 'full', pci, devices: [] }, 'verify');
    const boot = Machine.boot(world, description, {
      plugins: [this.plugin()],
      overrides: (wiring) => {
        if (this.record !== null) observeServices(this.record, wiring);
      },
    });
    const machine = world.complete(boot);
    world.faults.arm(fault?.site ?? 'alloc', { nth: fault?.nth ?? 0, errno: fault?.errno ?? -1 });
    if (plan !== undefined) world.faults.armPlan(FaultPlan.of(...plan));
    this.start('life of the driver', this.lifeOf(machine));
    if (act !== undefined && this.pump(act.step) === 'limit' && this.device !== null) {
      this.start(ACT_NAMES[act.act], this.perform(this.device, act.act));
    }
    if (!this.toTheEnd()) return;
    world.run({ events: STEPS_AFTER });
    this.start('shutdown', machine.shutdown());
    if (!this.toTheEnd()) return;
    if (world.run({ events: this.subject.stepsMax }) === 'limit') {
      this.restless('when the device is gone');
      return;
    }
    // A record listens itself.
    if (this.record === null) reportListeners(world);
    world.checkAtEnd();
  }

  private plugin() {
    const { driver, hardware } = this.subject;
    const model = spoiltHardware(hardware, this.conditions.mischief ?? {}, this.calls);
    const drivers = [this.record === null ? driver : observedDriver(this.record, driver)];
    return { name: 'verified', api: 1, drivers, hardware: [model] } as const;
  }

  /** Probes, runs the example, and waits until every program has ended. */
  private *lifeOf(machine: Machine): Task {
    const { subject, conditions, world } = this;
    const [hardware] = machine.bus.plugins[0].hardware;
    const device = machine.bus.plugIn({ name: 'dev0', hardware, model: subject.model });
    this.device = device;
    this.calls.onDma = () => {
      this.afterRemoval(device);
    };
    const config = conditions.config ?? subject.config;
    try {
      yield* machine.bus.probe(device, config);
      for (let i = 0; i < (conditions.rebinds ?? 0); i++) {
        yield* device.remove('driver-unbind');
        yield* machine.bus.probe(device, config);
      }
    } catch (error) {
      const wasRefused = isRefusal(error) || (error instanceof Error && innermost(error) === this.record?.refusal);
      if (conditions.undisturbed === true || !wasRefused) {
        this.problems.push(problemOfError(error, 'probe failed', world.now));
      }
      return;
    }
    if (subject.example === null) return;
    const programs = Array.from({ length: conditions.programs ?? 1 }, (_, i) => machine.process(`program${i + 1}`));
    for (const program of programs) this.start(program.name, this.useDevice(subject.example, program));
  }

  private *useDevice(example: ExampleProgram, program: Process): Task {
    const result = yield* example(program, 'dev0');
    if (result < 0 && this.conditions.undisturbed === true) {
      const summary = `the example ended with ${errnoName(result)}`;
      this.problems.push({ code: 'EXAMPLE_FAILED', summary, sites: [], details: [] });
    }
    yield* program.exit();
  }

  private *perform(device: Device, act: Act): Task {
    if (act === 'surprise' || act === 'driver-unbind') {
      yield* device.remove(act);
    } else if (act === 'reset') {
      yield* callHook(device, 'reset');
    } else {
      yield* callHook(device, 'suspend');
      yield* callHook(device, 'resume');
    }
  }

  /** The hardware still runs although nobody drives it: the IOMMU refuses it now, a kernel without one is overwritten. */
  private afterRemoval({ driver, unplugged, state }: Device): void {
    if (driver !== null || unplugged || state !== 'unbound' || this.ranOn) return;
    this.ranOn = true;
    const summary = 'the device goes on with DMA after its driver was removed: remove has not stopped it';
    this.problems.push({ code: 'DMA_FAULT', summary, sites: [], details: [] });
  }

  private start(name: string, task: Task): void {
    const thread = this.world.spawn(task, { name });
    thread.observed = true;
    this.threads.push(thread);
  }

  /** Lets everything end that was started; false, with the problem told, when it does not. */
  private toTheEnd(): boolean {
    const result = this.pump(this.subject.stepsMax);
    if (result === 'ended') return true;
    if (result === 'limit') this.restless(`while ${this.threads.map(({ name }) => name).join(' and ')} waits`);
    const details = this.device === null ? [] : [`the device is ${this.device.state}`];
    if (result === 'idle') {
      const summary = this.threads.map(({ name, waitingFor }) => `${name} waits for ever for ${waitingFor}`).join('; ');
      this.problems.push({ code: 'TASK_STUCK', summary, sites: [], details });
    }
    return false;
  }

  /** Runs until all threads of the trial have ended, nothing is left to happen, or `limit` steps are done. */
  private pump(limit: number): 'ended' | 'idle' | 'limit' {
    const { world, threads } = this;
    const end = this.steps + limit;
    const result = world.run({
      until: () => threads.every((thread) => thread.ended) || this.steps++ >= end,
    });
    if (this.steps > end) this.steps = end;
    const ended = threads.filter((thread) => thread.ended);
    threads.splice(0, threads.length, ...threads.filter((thread) => !thread.ended));
    for (const { state, error, name } of ended) {
      if (state === 'failed') this.problems.push(problemOfError(error, name, world.now));
    }
    if (threads.length === 0) return 'ended';
    return result === 'idle' ? 'idle' : 'limit';
  }

  private restless(when: string): void {
    const summary = `the machine does not come to rest ${when}: something starts itself again and again`;
    this.problems.push({ code: 'DRIVER_ENDLESS_LOOP', summary, sites: [], details: [] });
  }
}
