/**
 * Features: settings of the controller that Get Features reads and Set Features changes.
 *
 *   changeable   temperature threshold, error recovery (kept, no effect), write cache, queue count (fixed answer),
 *                asynchronous events, timestamp and host behaviour (data, kept)
 *   readable     the others below; a Set is answered "not changeable", a Set with the save bit "not saveable"
 *
 * Source: NVM Express Base Specification 1.4, section 5.21; refusals as the reference controller gives them.
 */
import { BROADCAST_NSID, Feature } from '../spec/opcodes';
import { NvmeStatus } from '../spec/status';
import { NAMESPACES_MAX } from './controller-config';

const SELECT_DEFAULT = 1;
const SELECT_SAVED = 2;
const SELECT_CAPABILITIES = 3;
const CAPABILITY_PER_NAMESPACE = 2;
const CAPABILITY_CHANGEABLE = 4;
const SAVE = 1 << 31;
/** 70 degrees Celsius, in kelvin. */
const TEMPERATURE_THRESHOLD_K = 0x157;
const CHANGEABLE: readonly number[] = [
  Feature.temperatureThreshold,
  Feature.errorRecovery,
  Feature.volatileWriteCache,
  Feature.numberOfQueues,
  Feature.asyncEvents,
  Feature.timestamp,
  Feature.hostBehaviour,
];

/** Bytes a feature carries as data; 0 when its value is dword 0 of the completion. */
export function featureDataBytes(id: number): number {
  if (id === Feature.timestamp) return 8;
  return id === Feature.hostBehaviour ? 512 : 0;
}

export class Features {
  /** Dword 0 of the completion that follows `get` or `set`. */
  result = 0;
  /** Data of the timestamp and of the host behaviour. */
  readonly timestamp = new Uint8Array(8);
  readonly hostBehaviour = new Uint8Array(512);
  private temperatureThreshold = TEMPERATURE_THRESHOLD_K;
  private errorRecovery = 0;
  private writeCache = 1;
  private asyncEvents = 0;

  constructor(
    private readonly queuePairs: number,
    private readonly vectors: number,
    private readonly activeNamespace: (nsid: number) => boolean,
  ) {}

  get writeCacheOn(): boolean {
    return this.writeCache !== 0;
  }

  reset(): void {
    this.temperatureThreshold = TEMPERATURE_THRESHOLD_K;
    this.errorRecovery = 0;
    this.writeCache = 1;
    this.asyncEvents = 0;
  }

  data(id: number): Uint8Array | null {
    if (id === Feature.timestamp) return this.timestamp;
    return id === Feature.hostBehaviour ? this.hostBehaviour : null;
  }

  get(id: number, select: number, nsid: number, dword11: number): number {
    this.result = 0;
    const known = this.value(id, dword11);
    if (known < 0) return NvmeStatus.invalidField;
    if (id === Feature.errorRecovery) {
      const status = this.checkNamespace(nsid);
      if (status !== NvmeStatus.success) return status;
    }
    if (select === SELECT_CAPABILITIES) {
      this.result = CHANGEABLE.includes(id) ? CAPABILITY_CHANGEABLE : 0;
      if (id === Feature.errorRecovery) this.result |= CAPABILITY_PER_NAMESPACE;
    } else {
      this.result = select === SELECT_DEFAULT || select === SELECT_SAVED ? this.initial(id, known) : known;
    }
    return NvmeStatus.success;
  }

  /** @param queuesExist whether I/O queues exist: their number can be negotiated only before. */
  set(id: number, dword10: number, nsid: number, value: number, queuesExist: boolean): number {
    this.result = 0;
    if ((dword10 & SAVE) !== 0) return NvmeStatus.featureNotSaveable;
    if (this.value(id, 0) < 0) return NvmeStatus.invalidField;
    if (id === Feature.errorRecovery) {
      const status = this.checkNamespace(nsid);
      if (status !== NvmeStatus.success) return status;
    } else if (nsid !== 0 && nsid !== BROADCAST_NSID) {
      return nsid > NAMESPACES_MAX ? NvmeStatus.invalidNamespace : NvmeStatus.featureNotPerNamespace;
    }
    switch (id) {
      case Feature.temperatureThreshold:
        if (((value >>> 16) & 0x3f) === 0) this.temperatureThreshold = value & 0xffff;
        return NvmeStatus.success;
      case Feature.errorRecovery:
        this.errorRecovery = value & 0xffff;
        return NvmeStatus.success;
      case Feature.volatileWriteCache:
        this.writeCache = value & 1;
        return NvmeStatus.success;
      case Feature.numberOfQueues:
        if (queuesExist) return NvmeStatus.commandSequence;
        if ((value & 0xffff) === 0xffff || value >>> 16 === 0xffff) return NvmeStatus.invalidField;
        this.result = this.value(id, 0);
        return NvmeStatus.success;
      case Feature.asyncEvents:
        this.asyncEvents = value;
        return NvmeStatus.success;
      case Feature.timestamp:
      case Feature.hostBehaviour:
        return NvmeStatus.success;
      default:
        return NvmeStatus.featureNotChangeable;
    }
  }

  /** The current value, at least 0; -1 when there is no such feature. */
  private value(id: number, dword11: number): number {
    switch (id) {
      case Feature.arbitration:
        return 7; // no limit to a burst
      case Feature.temperatureThreshold:
        return this.temperatureThreshold;
      case Feature.errorRecovery:
        return this.errorRecovery;
      case Feature.volatileWriteCache:
        return this.writeCache;
      case Feature.numberOfQueues:
        return (this.queuePairs - 1) | ((this.queuePairs - 1) << 16);
      case Feature.interruptVector: {
        const vector = dword11 & 0xffff;
        if (vector >= this.vectors) return -1;
        return vector === 0 ? 0x10000 : vector; // bit 16: coalescing disabled, always so for the admin queue
      }
      case Feature.asyncEvents:
        return this.asyncEvents >>> 0;
      case Feature.powerManagement:
      case Feature.interruptCoalescing:
      case Feature.writeAtomicity:
      case Feature.timestamp:
      case Feature.hostBehaviour:
      case Feature.commandSetProfile:
        return 0;
      default:
        return -1;
    }
  }

  private initial(id: number, current: number): number {
    switch (id) {
      case Feature.temperatureThreshold:
        return TEMPERATURE_THRESHOLD_K;
      case Feature.errorRecovery:
      case Feature.volatileWriteCache:
      case Feature.asyncEvents:
        return 0;
      default:
        return current;
    }
  }

  private checkNamespace(nsid: number): number {
    if (nsid === BROADCAST_NSID) return NvmeStatus.success;
    if (nsid === 0 || nsid > NAMESPACES_MAX) return NvmeStatus.invalidNamespace;
    return this.activeNamespace(nsid) ? NvmeStatus.success : NvmeStatus.invalidField;
  }
}
