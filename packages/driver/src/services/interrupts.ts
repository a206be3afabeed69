/**
 * Interrupts: from a device's vector to the driver's handler, inside whatever it interrupts.
 *
 * One controller a machine, one set of lines a device. A raised vector runs its handler at once, nested in hardirq
 * context on the CPU the vector is routed to. On a CPU that is in a hardirq already it stays pending and runs right
 * after; a masked vector stays pending until it is unmasked; several raises of a pending vector are one interrupt, as
 * with MSI-X. Left out: priorities, threaded handlers, moderation.
 * Source followed: `handle_edge_irq` (`kernel/irq/chip.c`), the pending bit array of MSI-X (PCI 3.0, 6.8.2).
 */
import type { ContextStack, FaultSites, Tracepoint, World } from '@pincushion/sim';
import { CallTrace, Context, PincushionError } from '@pincushion/sim';
import { Detour } from '../detour';
import type { Managed } from '../managed';
import type { LeftRunning } from './device-work';

/** A requested interrupt. Releasing it is `free_irq`: no handler runs afterwards. */
export interface Interrupt extends Managed {
  readonly vector: number;
  /** From now on raises stay pending. Any context. */
  mask(): void;
  /** Raises are delivered again; one that is pending runs now. Any context. */
  unmask(): void;
}

export abstract class Interrupts {
  /** How many vectors the device has. */
  abstract readonly vectors: number;
  /**
   * Attaches a handler to a vector. The handler runs in hardirq context and must not sleep.
   * @param cpu where it runs; by default the vectors are spread over the CPUs.
   */
  abstract request(vector: number, name: string, handler: () => undefined, cpu?: number): Interrupt;
}

/** An imported binding is a getter once compiled; the hot functions read a constant of the module. */
const HARDIRQ = Context.hardirq;

/** One vector of one device. */
class Line {
  handler: (() => undefined) | null = null;
  name = '';
  cpu = 0;
  masked = false;
  pending = false;
  /** Requested when, and by whom. */
  sinceNs = 0;
  startedBy: CallTrace | null = null;

  constructor(
    readonly vector: number,
    readonly deviceIndex: number,
  ) {}

  /** Nothing of the driver stays here: a call trace keeps alive whoever was on the stack. */
  detach(): void {
    this.handler = null;
    this.pending = false;
    this.startedBy = null;
  }
}

/** All interrupts of one machine. */
export class InterruptController {
  /** Interrupts delivered since boot. */
  count = 0;
  private readonly busy: Uint8Array;
  private readonly waiting: Line[][];
  private readonly entry: Tracepoint;
  private readonly exit: Tracepoint;
  private readonly later: number;
  private readonly contexts: ContextStack;
  /** Lines in `waiting`, of all CPUs. */
  private held = 0;

  constructor(
    readonly world: World,
    readonly cpus: number,
  ) {
    this.contexts = world.contexts;
    this.busy = new Uint8Array(cpus);
    this.waiting = Array.from({ length: cpus }, () => []);
    this.entry = world.trace.point('irq:entry', ['cpu', 'vector', 'device']);
    this.exit = world.trace.point('irq:exit', ['cpu', 'vector', 'device']);
    this.later = world.handler('irq pending', Context.device, (cpu) => {
      this.runWaiting(cpu);
    });
  }

  /** Any context; hot. */
  deliver(line: Line): void {
    const { handler, cpu } = line;
    if (handler === null || line.masked || this.busy[cpu] !== 0 || this.contexts.current === HARDIRQ) {
      this.deliverInto(line);
      return;
    }
    this.run(line, handler, cpu);
    if (this.held !== 0) this.runWaiting(cpu);
  }

  /** Where a handler may not run at once, or a hardirq runs somewhere. */
  private deliverInto(line: Line): void {
    const { handler, cpu } = line;
    const { contexts } = this;
    if (handler === null) {
      line.pending = false;
    } else if (line.masked) {
      line.pending = true;
    } else if (this.busy[cpu] !== 0) {
      this.hold(line);
    } else if (contexts.cpu === cpu) {
      // A hardirq that this controller did not deliver: there is no end to hook into, so the queue runs it next.
      this.hold(line);
      this.world.schedule(0, this.later, cpu);
    } else {
      this.run(line, handler, cpu);
      if (this.held !== 0) this.runWaiting(cpu);
    }
  }

  private hold(line: Line): void {
    if (line.pending) return;
    line.pending = true;
    this.waiting[line.cpu].push(line);
    this.held++;
  }

  private runWaiting(cpu: number): void {
    const queue = this.waiting[cpu];
    for (let line = queue.shift(); line !== undefined; line = queue.shift()) {
      this.held--;
      if (!line.pending || line.masked || line.handler === null) continue;
      line.pending = false;
      this.run(line, line.handler, cpu);
    }
  }

  private run(line: Line, handler: () => undefined, cpu: number): void {
    const { contexts, busy, entry, exit } = this;
    this.count++;
    busy[cpu] = 1;
    contexts.enter(HARDIRQ, cpu);
    if (entry.on) entry.emit(cpu, line.vector, line.deviceIndex, 0);
    try {
      handler();
    } finally {
      if (exit.on) exit.emit(cpu, line.vector, line.deviceIndex, 0);
      contexts.leave();
      busy[cpu] = 0;
    }
  }
}

/** The vectors of one device: the model raises them, the driver requests them. */
export class DeviceInterrupts extends Interrupts {
  private readonly lines: readonly Line[];
  private readonly faults: FaultSites;
  private readonly detour: Detour;
  private off = false;

  constructor(
    private readonly controller: InterruptController,
    private readonly devicePath: string,
    deviceIndex: number,
    readonly vectors: number,
  ) {
    super();
    this.faults = controller.world.faults;
    this.detour = new Detour(controller.world, 'irq', () => !this.off);
    this.lines = Array.from({ length: vectors }, (_, vector) => new Line(vector, deviceIndex));
  }

  override request(vector: number, name: string, handler: () => undefined, cpu?: number): Interrupt {
    const line = this.lines[vector] as Line | undefined;
    if (line === undefined || line.handler !== null) {
      throw new PincushionError('DEVICE_INVALID', `vector ${vector} cannot be requested for ${name}`, {
        device: this.devicePath,
        expected: `a free vector from 0 to ${this.vectors - 1}`,
        actual: line === undefined ? `vector ${vector}` : `vector ${vector}, in use by ${line.name}`,
      });
    }
    const { controller } = this;
    line.handler = handler;
    line.name = name;
    line.sinceNs = controller.world.now;
    line.startedBy = new CallTrace();
    line.cpu = (cpu ?? vector) % controller.cpus;
    line.masked = false;
    line.pending = false;
    return {
      what: `interrupt ${vector} (${name})`,
      vector,
      mask: () => {
        line.masked = true;
      },
      unmask: () => {
        line.masked = false;
        if (!line.pending) return;
        line.pending = false;
        this.raise(vector);
      },
      release: () => {
        line.detach();
        return undefined;
      },
    };
  }

  /** By the hardware. Runs the handler before it returns, unless the CPU is busy or the vector masked. */
  raise(vector: number): void {
    if (this.off) return;
    const line = this.lines[vector];
    if (this.faults.armed) this.raiseAsPlanned(line);
    else this.controller.deliver(line);
  }

  private raiseAsPlanned(line: Line): void {
    this.detour.pass(() => {
      this.controller.deliver(line);
    });
  }

  /** The device is gone: whatever it raises goes nowhere. */
  cutOff(): void {
    this.off = true;
    for (const line of this.lines) line.pending = false;
  }

  /** Takes back every handler that is still attached. */
  detachAll(): void {
    for (const line of this.lines) line.detach();
  }

  /** Names of the handlers still attached. */
  attached(): readonly LeftRunning[] {
    return this.lines
      .filter((line) => line.handler !== null)
      .map(({ vector, name, sinceNs, startedBy }) => ({ what: `interrupt ${vector} (${name})`, sinceNs, startedBy }));
  }
}
