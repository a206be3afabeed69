/**
 * The parts of a controller, made and put together at power-on.
 *
 *   registers    register-file, controller-memory        commands     admin-commands, io-commands and theirs
 *   queues       completion-path, shadow-doorbells       knowledge    features, async-events, health, error-log, namespace-table
 *   interrupts   interrupt-gathering                     media        namespace, timing
 */
import type { BarMemory } from '@pincushion/driver';
import { AdminOpcode } from '../spec/opcodes';
import { AdminCommands } from './commands/admin-commands';
import { AdminTransfer } from './commands/admin-transfer';
import { AsyncEvents } from './commands/async-events';
import { BlockCommands } from './commands/block-commands';
import type { BusMaster } from './data/bus-master';
import type { CommandSlots } from './queues/command-slots';
import type { CommandTiming } from './timing/command-timing';
import { CompareCopy } from './commands/compare-copy';
import { CompletionPath } from './queues/completion-path';
import type { CompletionPort } from './queues/completion-path';
import type { ControllerConfig } from './controller-config';
import { ControllerMemory } from './controller-memory';
import { DataPointer } from './data/data-pointer';
import { ErrorLog } from './commands/error-log';
import { Features } from './commands/features';
import { Health, SMART_COUNTERS, SmartCount } from './commands/health';
import { InterruptGathering } from './queues/interrupt-gathering';
import type { InterruptPort } from './queues/interrupt-gathering';
import { IoCommands } from './commands/io-commands';
import { LocalBus } from './data/local-bus';
import { NamespaceCommands } from './commands/namespace-commands';
import type { NamespaceTable } from './media/namespace-table';
import { PrpWalk } from './data/prp';
import { QueueCommands } from './commands/queue-commands';
import type { CommandUnit } from './commands/queue-commands';
import { RegisterFile } from './register-file';
import { ShadowDoorbells } from './queues/shadow-doorbells';

const PAGE_BYTES = 4096;

/** The controller, as its parts see it. */
export interface ControllerPort extends BusMaster, CommandUnit, CompletionPort, InterruptPort {
  nowNs(): number;
  /** Completes a command that was held. */
  completeHeld(slot: number, result: number): undefined;
}

export interface ControllerParts {
  readonly registers: RegisterFile;
  readonly memory: ControllerMemory;
  readonly localBus: LocalBus;
  readonly features: Features;
  readonly events: AsyncEvents;
  readonly health: Health;
  readonly errors: ErrorLog;
  readonly gathering: InterruptGathering;
  readonly shadows: ShadowDoorbells;
  readonly completions: CompletionPath;
  readonly pointer: DataPointer;
  readonly transfer: AdminTransfer;
  readonly queues: QueueCommands;
  readonly io: IoCommands;
  readonly namespaceCommands: NamespaceCommands;
  readonly admin: AdminCommands;
}

/** What the parts are made of, beside the port. */
export interface PartsSource {
  readonly config: ControllerConfig;
  readonly slots: CommandSlots;
  readonly table: NamespaceTable;
  readonly timing: CommandTiming;
  readonly cmb: BarMemory | null;
  readonly pmr: BarMemory | null;
}

export function makeParts(port: ControllerPort, source: PartsSource): ControllerParts {
  const { config, slots, table, timing } = source;
  const vectors = config.vectors ?? config.queuePairs + 1;
  const transferBytesMax = PAGE_BYTES << config.mdts;
  const moveBytes = config.data === 'bytes';
  const smart = new Float64Array(SMART_COUNTERS);
  smart[SmartCount.powerCycles] = 1;
  const memory = new ControllerMemory(source.cmb, source.pmr);
  const prp = new PrpWalk(transferBytesMax / PAGE_BYTES + 1);
  const pointer = new DataPointer(port, prp, memory);
  const transfer = new AdminTransfer(port, prp, memory);
  const { queuePairs, coalescing } = config;
  const nowNs = (): number => port.nowNs();
  const features = new Features({ queuePairs, vectors, coalescing, namespaces: table.active, nowNs });
  const isComing = (): boolean => slots.hasAdmin(AdminOpcode.asyncEventRequest);
  const events = new AsyncEvents(config.aerl + 1, isComing, (slot, result) => {
    port.completeHeld(slot, result);
  });
  const health = new Health(smart, features, events);
  const errors = new ErrorLog(config.errorLogEntries, smart);
  const gathering = new InterruptGathering(port, features, vectors);
  const shadows = new ShadowDoorbells(port, port.submissionQueues, port.completionQueues);
  const queues = new QueueCommands(port, memory, config, vectors);
  const board = {
    get asyncEvents(): number {
      return features.asyncEvents;
    },
    report: (type: number, info: number, logPage: number) => {
      events.report(type, info, logPage);
    },
  };
  const io = new IoCommands({
    slots,
    pointer,
    namespaces: table.active,
    timing,
    smart,
    blocks: new BlockCommands(pointer, table.active, timing, moveBytes),
    compareCopy: new CompareCopy(pointer, smart, moveBytes),
    limits: {
      transferBytesMax,
      verifyBytesMax: PAGE_BYTES << config.vsl,
      moveBytes,
      writeUncorrectable: config.writeUncorrectable,
    },
  });
  const namespaceCommands = new NamespaceCommands(table, board, transfer, timing, config, slots);
  const admin = new AdminCommands({
    unit: port,
    slots,
    transfer,
    queues,
    table,
    namespaces: namespaceCommands,
    features,
    events,
    health,
    errors,
    shadows,
    config,
    nowNs,
    interruptsChanged: () => {
      gathering.configure();
    },
  });
  return {
    registers: new RegisterFile(config.queueEntries, memory),
    memory,
    localBus: new LocalBus(port, memory),
    features,
    events,
    health,
    errors,
    gathering,
    shadows,
    completions: new CompletionPath(port, slots, port.submissionQueues, gathering, shadows),
    pointer,
    transfer,
    queues,
    io,
    namespaceCommands,
    admin,
  };
}
