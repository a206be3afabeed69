/**
 * Counts the I/Os of programs where they pass the block layer: for workload modules, which issue their own.
 *
 * Observes only; costs a map entry for each bio in flight, so the issuers of traces and job files count for themselves.
 */
import { BioOp, BlkStatus } from '@pincushion/block';
import type { World } from '@pincushion/sim';
import { IoKind } from './io-kind';
import type { IoStatistics } from './io-statistics';

const SECTOR = 512;

interface Flight {
  readonly kind: IoKind;
  readonly bytes: number;
  readonly submittedNs: number;
}

export class BlockObserver {
  private readonly flights = new Map<number, Flight>();
  private readonly unsubscribe: () => undefined;

  constructor(
    private readonly world: World,
    private readonly statistics: IoStatistics,
  ) {
    this.unsubscribe = world.trace.subscribe(
      (point, bioId, second, _third, sectors) => {
        if (point.name === 'block:submit') this.submitted(bioId, second, sectors);
        else this.completed(bioId, second);
        return undefined;
      },
      ['block:submit', 'block:complete'],
    );
  }

  close(): void {
    this.unsubscribe();
  }

  private submitted(bioId: number, op: number, sectors: number): void {
    this.flights.set(bioId, { kind: kindOf(op), bytes: sectors * SECTOR, submittedNs: this.world.now });
    this.statistics.issued();
  }

  private completed(bioId: number, status: number): void {
    const flight = this.flights.get(bioId);
    if (flight === undefined) return;
    this.flights.delete(bioId);
    const latencyNs = this.world.now - flight.submittedNs;
    this.statistics.completed(flight.kind, flight.bytes, latencyNs, status === BlkStatus.ok);
  }
}

function kindOf(op: number): IoKind {
  if (op === BioOp.read) return IoKind.read;
  if (op === BioOp.flush) return IoKind.flush;
  return op === BioOp.write ? IoKind.write : IoKind.discard;
}
