/**
 * The kernel services of a machine with a record before them, and a driver whose entry points are recorded.
 *
 * Stand-ins, put into the wiring of a machine that is made for this; the services themselves know nothing of it. What a
 * service returns to be released later is the same object with its methods recorded. Not recorded: what is only read (the
 * clock, the number of CPUs) and what a driver makes itself (wait queues, mutexes).
 */
import type { AbstractClass, Bio, CharOperations, Disk, Driver, DriverClass, DriverMeta } from '@pincushion/driver';
import type { Managed, RemoveReason, Task, Transfer, Wiring } from '@pincushion/driver';
import {
  BlockDisks,
  CharDevices,
  DeviceClock,
  DeviceWork,
  DmaMapper,
  Gup,
  Interrupts,
  Log,
  MultiQueueDisk,
  PeerMemory,
  Registers,
} from '@pincushion/driver';
import { ENOMEM, PincushionError, driver, driverMeta, errnoName } from '@pincushion/driver';
import type { CallRecord, CallStep } from './call-record';
import type { KernelCall, Refusal } from './kernel-calls';
import * as calls from './kernel-calls';
import { ENTRY_POINTS, HANDLE_CALLS } from './kernel-calls';

type Given = readonly unknown[];
type AnyFunction = (...given: unknown[]) => unknown;

/** Puts the record before every service of a machine. */
export function observeServices(record: CallRecord, wiring: Wiring): void {
  const observed = <T extends object>(token: AbstractClass<T>, name: string, table: calls.KernelCalls<T>): void => {
    wiring.replace(token, (real) => observe(record, name, real, table));
  };
  observed(Gup, 'gup', calls.GUP_CALLS);
  observed(DmaMapper, 'dma', calls.DMA_CALLS);
  observed(Registers, 'registers', calls.REGISTER_CALLS);
  observed(Interrupts, 'interrupts', calls.INTERRUPT_CALLS);
  observed(DeviceWork, 'work', calls.WORK_CALLS);
  observed(CharDevices, 'chars', calls.CHAR_CALLS);
  observed(BlockDisks, 'disks', calls.DISK_CALLS);
  observed(PeerMemory, 'peers', calls.PEER_CALLS);
  observed(DeviceClock, 'clock', calls.CLOCK_CALLS);
  observed(Log, 'log', calls.LOG_CALLS);
}

/** The same driver, with its hooks and transfers recorded. */
export function observedDriver(record: CallRecord, cls: DriverClass): DriverClass {
  const plain = cls.prototype as Driver;
  const observed = class extends cls {
    override *probe(): Task {
      yield* record.task('probe', ENTRY_POINTS.probe, () => plain.probe.call(this));
    }

    override *remove(why: RemoveReason): Task {
      yield* record.task('remove', ENTRY_POINTS.remove, () => plain.remove.call(this, why));
    }

    override *suspend(): Task {
      yield* record.task('suspend', ENTRY_POINTS.suspend, () => plain.suspend.call(this));
    }

    override *resume(): Task {
      yield* record.task('resume', ENTRY_POINTS.resume, () => plain.resume.call(this));
    }

    override *reset(): Task {
      yield* record.task('reset', ENTRY_POINTS.reset, () => plain.reset.call(this));
    }

    protected override track(what: string): Transfer {
      record.call(`this.track('${what}')`, 'init_completion');
      return observedTransfer(record, super.track(what));
    }

    protected override idle(): Task {
      record.call('this.idle()', 'wait_event');
      return super.idle();
    }
  };
  const meta = driverMeta(cls);
  if (meta !== null) driver(meta as DriverMeta & { readonly deps?: never })(observed);
  return observed;
}

function observedTransfer(record: CallRecord, transfer: Transfer): Transfer {
  let ended = false;
  return {
    ...transfer,
    done: (result) => {
      if (!ended) record.call('transfer.done(result)', 'complete');
      ended = true;
      transfer.done(result);
    },
    ended: () => {
      record.call('transfer.ended()', 'wait_for_completion');
      return transfer.ended();
    },
  };
}

/** A stand-in that records every call, and goes through to the service. */
function observe<T extends object>(record: CallRecord, name: string, real: T, table: calls.KernelCalls<T>): T {
  return new Proxy(real, {
    get: (target, key) => {
      const method: unknown = Reflect.get(target, key);
      if (typeof method !== 'function') return method;
      const run: AnyFunction = (...given) => Reflect.apply(method, target, given) as unknown;
      const known = (table as Partial<Record<PropertyKey, KernelCall>>)[key];
      return known === undefined ? run : observedMethod(record, name, String(key), known, run);
    },
  });
}

function observedMethod(
  record: CallRecord,
  service: string,
  key: string,
  known: KernelCall,
  run: AnyFunction,
): AnyFunction {
  const { args, linux, gives = '', owes = '', refused } = known;
  return (...given) => {
    const words = typeof args === 'string' ? args : args(given);
    const step = record.call(
      `${service}.${key}(${words})`,
      linux,
      gives,
      owes,
      known.returns === true ? given[0] : null,
    );
    if (refused !== undefined && record.refuses(refused)) return refuse(record, step, refused, key);
    return finish(record, step, known, given, run(...withEntries(record, linux, given)));
  };
}

/** What is asked for is not there. */
function refuse(record: CallRecord, step: CallStep, how: Refusal, key: string): unknown {
  if (how === 'errno') {
    step.refused = `-${errnoName(ENOMEM)}`;
    return key === 'pinRange' ? refusedTask() : -ENOMEM;
  }
  step.refused = how;
  if (how === 'null') return null;
  record.refusal = new PincushionError('DEVICE_INVALID', `${step.call} is refused by this trial`, { errno: ENOMEM });
  throw record.refusal;
}

function* refusedTask(): Task<number> {
  return -ENOMEM;
}

/** Notes the answer, at once or when the task that it is has ended. */
function finish(record: CallRecord, step: CallStep, known: KernelCall, given: Given, answer: unknown): unknown {
  if (isTask(answer)) return later(record, step, known, given, answer);
  if (typeof answer === 'number' && answer < 0 && known.refused === 'errno') {
    step.refused = `-${errnoName(-answer)}`;
    return answer;
  }
  if (answer === null && known.refused === 'null') {
    step.refused = 'null';
    return answer;
  }
  if (answer instanceof Registers) return observe(record, 'registers', answer, calls.REGISTER_CALLS);
  if (known.owes === undefined) return answer;
  const { thing } = known;
  if (known.handle !== undefined) observeHandle(record, step, known, answer as Managed);
  else if (thing !== undefined) record.owe(step, thing === 'answer' ? answer : given[thing]);
  return answer;
}

function* later(
  record: CallRecord,
  step: CallStep,
  known: KernelCall,
  given: Given,
  task: Task<unknown>,
): Task<unknown> {
  return finish(record, step, known, given, yield* task);
}

/** Records what is done with something that has to be released, until it is. */
function observeHandle(record: CallRecord, step: CallStep, known: KernelCall, handle: Managed): void {
  const { handle: name = 'it', owes = '' } = known;
  record.owe(step, handle);
  const methods = handle as unknown as Partial<Record<string, AnyFunction>>;
  let released = false;
  for (const [key, linux] of Object.entries({ ...HANDLE_CALLS, release: owes })) {
    const method = methods[key]?.bind(handle);
    if (method === undefined) continue;
    methods[key] = (...given) => {
      const isRelease = key === 'release';
      if (!released)
        record.call(`${name}.${key}(${key === 'start' ? 'ns' : ''})`, linux, '', '', isRelease ? handle : null);
      released ||= isRelease;
      return method(...given);
    };
  }
}

/** The arguments, with what the kernel will call of the driver recorded. */
function withEntries(record: CallRecord, linux: string, given: Given): unknown[] {
  const [first, second, third, ...more] = given;
  switch (linux) {
    case calls.INTERRUPT_CALLS.request.linux:
      return [
        first,
        second,
        recordedPlain(
          record,
          `interrupt ${String(first)} '${String(second)}'`,
          ENTRY_POINTS.interrupt,
          third as () => undefined,
        ),
        ...more,
      ];
    case calls.WORK_CALLS.timer.linux:
      return [first, recordedPlain(record, `timer '${String(first)}'`, ENTRY_POINTS.timer, second as () => undefined)];
    case calls.WORK_CALLS.work.linux:
      return [first, recordedWork(record, `work '${String(first)}'`, second as () => Task | undefined)];
    case calls.CHAR_CALLS.register.linux:
      return [first, recordedOperations(record, second as CharOperations)];
    case calls.DISK_CALLS.register.linux:
      recordBios(record, first as Disk);
      return [first];
    default:
      return [...given];
  }
}

function recordedPlain(record: CallRecord, name: string, linux: string, run: () => undefined): () => undefined {
  return () => {
    record.plain(name, linux, run);
  };
}

function recordedWork(record: CallRecord, name: string, run: () => Task | undefined): () => Task | undefined {
  return () => {
    const task = record.plain(name, ENTRY_POINTS.work, run);
    return task === undefined ? undefined : record.task(name, ENTRY_POINTS.work, () => task);
  };
}

/** What the kernel calls of a character device, whatever the driver has of it. */
function recordedOperations(record: CallRecord, operations: CharOperations): CharOperations {
  return new Proxy(operations, {
    get: (target, key) => {
      const method: unknown = Reflect.get(target, key);
      if (typeof method !== 'function') return method;
      const name = String(key);
      const linux = (ENTRY_POINTS as Readonly<Record<string, string>>)[name] ?? `file_operations.${name}`;
      return (...given: unknown[]): unknown => {
        const answer: unknown = record.plain(name, linux, () => Reflect.apply(method, target, given) as unknown);
        return isTask(answer) ? record.task(name, linux, () => answer) : answer;
      };
    },
  });
}

/** What comes to a disk, and what ends there. The block layer keeps the queues of a disk with several, and calls for each bio. */
function recordBios(record: CallRecord, disk: Disk): void {
  const hasQueues = disk instanceof MultiQueueDisk;
  const [name, linux] = hasQueues ? ['queueRq', ENTRY_POINTS.queueRq] : ['queueBio', ENTRY_POINTS.queueBio];
  const queueBio = disk.queueBio.bind(disk);
  const { bios } = record;
  disk.queueBio = (bio: Bio) => {
    bios.add(bio.id);
    record.plain(name, linux, () => {
      queueBio(bio);
    });
  };
  if (record.hearsBios) return;
  record.hearsBios = true;
  const ended = (_point: unknown, bioId: number): undefined => {
    if (!bios.delete(bioId)) return; // One that no driver has seen: a whole that was split.
    if (hasQueues) record.call('queue.complete(tag, status)', 'blk_mq_end_request');
    else record.call('bioEndIo(bio, status)', 'bio_endio');
  };
  record.world.trace.subscribe(ended, ['block:complete', 'block:issued']);
}

function isTask(answer: unknown): answer is Task<unknown> {
  return typeof answer === 'object' && answer !== null && Symbol.iterator in answer && 'next' in answer;
}
