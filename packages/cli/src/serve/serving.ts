/** A served machine with its sockets and its recording, from the boot to what was found at the end. */
import type { FaultPlan } from '@pincushion/sim';
import { NodeHostFiles } from '../host-files';
import type { DescribedMachine } from '../machine-file';
import { blameOutsiders } from '../outside-failure';
import { machineSubject } from '../replay/run-replay';
import type { Expected } from '../replay/replay-file';
import { findingOf, gathered } from '../replay/replayed';
import type { Connection, ConnectionHost } from './connection';
import type { Controlled } from './control-connection';
import { Listener } from './listener';
import type { Address } from './listener';
import { RequestPump } from './request-pump';
import type { ServedOptions } from './served-machine';
import { ServedMachine } from './served-machine';
import { SessionWriter } from './session-file';

/** What came of it. */
export interface ServingEnd {
  readonly requests: number;
  readonly findings: readonly Expected[];
}

export class Serving implements Controlled {
  readonly served: ServedMachine;
  private readonly hostFiles: NodeHostFiles;
  private readonly pump: RequestPump;
  private readonly listeners: Listener[] = [];
  private readonly recording: SessionWriter | null;
  /** An error of the machine's world that ended the serving. */
  private failure: Expected | null = null;

  /** Boots. Throws what `ServedMachine` throws, and `UsageError` FILE_UNWRITABLE for the recording. */
  constructor(
    machine: DescribedMachine,
    options: ServedOptions & { readonly faults: FaultPlan | null },
    record?: string,
  ) {
    this.hostFiles = new NodeHostFiles(machine.folder);
    const recording = record === undefined ? null : new SessionWriter(record);
    this.recording = recording;
    try {
      this.served = new ServedMachine(machine, options, this.hostFiles, {
        arrived: (atNs, arrival) => recording?.arrived(atNs, arrival),
        replied: (atNs, id, reply) => recording?.replied(atNs, id, reply),
      });
      const { seed, faults, controller } = options;
      recording?.begin({
        seed,
        faults: faults?.toString() ?? null,
        controller,
        ...machineSubject(machine, this.hostFiles, record ?? ''),
      });
    } catch (error) {
      recording?.discard();
      this.hostFiles.closeAll();
      throw blameOutsiders(error);
    }
    this.pump = new RequestPump(this.served);
  }

  async listen(address: Address, connect: (host: ConnectionHost) => Connection): Promise<Listener> {
    const { pump } = this;
    const submit: Parameters<typeof Listener.open>[1] = (request, answer) => {
      pump.submit(request, answer);
    };
    const listener = await Listener.open(address, submit, connect);
    this.listeners.push(listener);
    return listener;
  }

  /** Serves until `stop`, or until the machine's world fails. */
  async run(): Promise<void> {
    try {
      await this.pump.run();
    } catch (error) {
      const finding = findingOf(error);
      if (finding === null) throw blameOutsiders(error);
      this.failure = finding;
    }
  }

  stop(): void {
    this.pump.stop();
  }

  quit(): void {
    this.stop();
  }

  status(): string {
    const { world, inFlight } = this.served;
    const clients = this.listeners.reduce((sum, { clientCount }) => sum + clientCount, 0);
    return `answered ${this.pump.answered} in-flight ${inFlight} struck ${world.faults.strikes} clients ${clients} ns ${world.now}`;
  }

  /** Hangs up, shuts the machine down, and ends the recording. */
  async end(): Promise<ServingEnd> {
    await this.hangUp();
    const { world } = this.served;
    const endNs = world.now;
    if (this.failure === null)
      this.attempt(() => {
        this.served.shutdown();
      });
    const findings = [...gathered(world.findings.all), ...(this.failure === null ? [] : [this.failure])];
    this.recording?.finish({ end: endNs, findings });
    return { requests: this.pump.answered, findings };
  }

  /** Whatever happened: nothing of it is left. */
  async dispose(): Promise<void> {
    await this.hangUp();
    this.recording?.discard();
    this.hostFiles.closeAll();
  }

  private async hangUp(): Promise<void> {
    for (const listener of this.listeners.splice(0)) await listener.close();
  }

  private attempt(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.failure = findingOf(error);
      if (this.failure === null) throw blameOutsiders(error);
    }
  }
}
