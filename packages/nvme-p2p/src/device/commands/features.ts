/**
 * Features: settings of the controller that Get Features reads and Set Features changes. None can be saved.
 *
 *   id                        changeable   default
 *   01h arbitration           no           no limit to a burst
 *   02h power management      no           0
 *   04h temperature           yes          over 343 K, under 0 K; only the composite temperature has thresholds
 *   05h error recovery        yes          0; per namespace: an error for blocks that are deallocated (DULBE)
 *   06h volatile write cache  yes          on
 *   07h number of queues      yes          what the hardware has, whatever is asked for; before the first queue is created
 *   08h coalescing            if set so    none
 *   09h interrupt vector      if set so    coalescing on, but for the admin queue's
 *   0ah write atomicity       no           0
 *   0bh asynchronous events   yes          none
 *   0eh timestamp             yes          8 bytes of data: milliseconds, going on in virtual time
 *   16h host behaviour        yes          512 bytes of data, kept
 *   19h command set profile   yes          0, the only one
 *
 * Source: NVM Express Base Specification 1.4, section 5.21; which refusal wins as in the reference controller.
 */
import { BROADCAST_NSID, Feature } from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import { NAMESPACES_MAX } from '../controller-config';
import { WARNING_TEMPERATURE_K } from './identify';
import type { Namespace } from '../media/namespace';

const SELECT_DEFAULT = 1;
const SELECT_SAVED = 2;
const SELECT_CAPABILITIES = 3;
const CAPABILITY_PER_NAMESPACE = 2;
const CAPABILITY_CHANGEABLE = 4;
const SAVE = 1 << 31;
const NO_BURST_LIMIT = 7;
const NO_COALESCING = 0x10000;
const DULBE = 1 << 16;
const NS_PER_MS = 1_000_000;
const HIGH_WORD = 0x1_0000_0000;
/** The timestamp was set by the host. */
const TIMESTAMP_SET = 1;

/** What the features act on. */
export interface FeatureSubject {
  readonly queuePairs: number;
  readonly vectors: number;
  /** Whether interrupt coalescing can be set. */
  readonly coalescing: boolean;
  /** By id; null where there is none. */
  readonly namespaces: readonly (Namespace | null)[];
  /** Virtual time. */
  nowNs(): number;
}

/** Bytes a feature carries as data; 0 when its value is dword 0 of the completion. */
export function featureDataBytes(id: number): number {
  if (id === Feature.timestamp) return 8;
  return id === Feature.hostBehaviour ? 512 : 0;
}

export class Features {
  /** Dword 0 of the completion that follows `get` or `set`. */
  result = 0;
  /** Kelvin. */
  temperatureOver = WARNING_TEMPERATURE_K;
  temperatureUnder = 0;
  /** Which events the host wants (feature 0Bh). */
  asyncEvents = 0;
  /** Feature 08h: entries to gather (0's based) and 100 µs to wait. */
  coalescing = 0;
  /** By vector: nonzero when it does not gather. */
  readonly uncoalesced: Uint8Array;
  /** Data of the timestamp and of the host behaviour. */
  private readonly timestamp = new Uint8Array(8);
  private readonly hostBehaviour = new Uint8Array(512);
  /** Feature 05h by namespace. */
  private readonly errorRecovery = new Int32Array(NAMESPACES_MAX + 1);
  private timestampSetNs = -1;
  private writeCache = 1;
  private readonly changeable: readonly number[];

  constructor(private readonly subject: FeatureSubject) {
    this.uncoalesced = new Uint8Array(subject.vectors);
    this.uncoalesced[0] = 1;
    this.changeable = [
      Feature.temperatureThreshold,
      Feature.errorRecovery,
      Feature.volatileWriteCache,
      Feature.numberOfQueues,
      ...(subject.coalescing ? [Feature.interruptCoalescing, Feature.interruptVector] : []),
      Feature.asyncEvents,
      Feature.timestamp,
      Feature.hostBehaviour,
      Feature.commandSetProfile,
    ];
  }

  get writeCacheOn(): boolean {
    return this.writeCache !== 0;
  }

  reset(): void {
    this.temperatureOver = WARNING_TEMPERATURE_K;
    this.temperatureUnder = 0;
    this.writeCache = 1;
    this.asyncEvents = 0;
    this.coalescing = 0;
    this.errorRecovery.fill(0);
    this.uncoalesced.fill(0);
    this.uncoalesced[0] = 1;
    for (const namespace of this.subject.namespaces) if (namespace !== null) namespace.refusesDeallocated = false;
  }

  /** What a Get Features brings as data, or room for what a Set brings; null for features without. */
  data(id: number): Uint8Array | null {
    if (id === Feature.timestamp) return this.timestamp;
    return id === Feature.hostBehaviour ? this.hostBehaviour : null;
  }

  /** The data of a Set has come. */
  dataSet(id: number): void {
    if (id === Feature.timestamp) this.timestampSetNs = this.subject.nowNs();
  }

  get(id: number, select: number, nsid: number, dword11: number): number {
    this.result = 0;
    if (!isKnown(id)) return NvmeStatus.invalidField;
    if (id === Feature.errorRecovery) {
      const status = nsid === BROADCAST_NSID ? NvmeStatus.invalidNamespace : this.checkNamespace(nsid);
      if (status !== NvmeStatus.success) return status;
    }
    if (select === SELECT_CAPABILITIES) {
      this.result = this.changeable.includes(id) ? CAPABILITY_CHANGEABLE : 0;
      if (id === Feature.errorRecovery) this.result |= CAPABILITY_PER_NAMESPACE;
      return NvmeStatus.success;
    }
    const isDefault = select === SELECT_DEFAULT || select === SELECT_SAVED;
    return isDefault ? this.getDefault(id, dword11) : this.getCurrent(id, nsid, dword11);
  }

  /** @param queuesMade whether I/O queues were created since the enable: their number can be negotiated only before. */
  set(id: number, dword10: number, nsid: number, value: number, queuesMade: boolean): number {
    this.result = 0;
    if ((dword10 & SAVE) !== 0) return NvmeStatus.featureNotSaveable;
    if (!isKnown(id)) return NvmeStatus.invalidField;
    if (id === Feature.errorRecovery) {
      const status = nsid === BROADCAST_NSID ? NvmeStatus.success : this.checkNamespace(nsid);
      if (status !== NvmeStatus.success) return status;
    } else if (nsid !== 0 && nsid !== BROADCAST_NSID) {
      return nsid > NAMESPACES_MAX ? NvmeStatus.invalidNamespace : NvmeStatus.featureNotPerNamespace;
    }
    if (!this.changeable.includes(id)) return NvmeStatus.featureNotChangeable;
    switch (id) {
      case Feature.temperatureThreshold:
        return this.setThreshold(value);
      case Feature.errorRecovery:
        for (const namespace of this.subject.namespaces) {
          if (namespace === null || (nsid !== BROADCAST_NSID && namespace.id !== nsid)) continue;
          namespace.refusesDeallocated = (value & DULBE) !== 0;
          this.errorRecovery[namespace.id] = value;
        }
        return NvmeStatus.success;
      case Feature.volatileWriteCache:
        this.writeCache = value & 1;
        return NvmeStatus.success;
      case Feature.numberOfQueues:
        if (queuesMade) return NvmeStatus.commandSequence;
        if ((value & 0xffff) === 0xffff || value >>> 16 === 0xffff) return NvmeStatus.invalidField;
        this.result = this.queues;
        return NvmeStatus.success;
      case Feature.interruptCoalescing:
        this.coalescing = value & 0xffff;
        return NvmeStatus.success;
      case Feature.interruptVector:
        return this.setVector(value);
      case Feature.asyncEvents:
        this.asyncEvents = value;
        return NvmeStatus.success;
      case Feature.commandSetProfile:
        return (value & 0x1ff) === 0 ? NvmeStatus.success : NvmeStatus.combinationRejected;
      default: // The others carry data.
        return NvmeStatus.success;
    }
  }

  private setThreshold(value: number): number {
    if (((value >>> 16) & 15) !== 0) return NvmeStatus.success; // Sensors that are not there have no threshold.
    const kind = (value >>> 20) & 3;
    if (kind > 1) return NvmeStatus.invalidField;
    if (kind === 0) this.temperatureOver = value & 0xffff;
    else this.temperatureUnder = value & 0xffff;
    return NvmeStatus.success;
  }

  private setVector(value: number): number {
    const vector = value & 0xffff;
    if (vector >= this.subject.vectors || vector > this.subject.queuePairs) return NvmeStatus.invalidField;
    if (vector !== 0) this.uncoalesced[vector] = (value & NO_COALESCING) === 0 ? 0 : 1;
    return NvmeStatus.success;
  }

  private getCurrent(id: number, nsid: number, dword11: number): number {
    switch (id) {
      case Feature.temperatureThreshold:
        return this.getThreshold(dword11);
      case Feature.errorRecovery:
        this.result = this.errorRecovery[nsid] | 0;
        return NvmeStatus.success;
      case Feature.volatileWriteCache:
        this.result = this.writeCache;
        return NvmeStatus.success;
      case Feature.interruptCoalescing:
        this.result = this.coalescing;
        return NvmeStatus.success;
      case Feature.asyncEvents:
        this.result = this.asyncEvents;
        return NvmeStatus.success;
      case Feature.timestamp:
        this.putTimestamp();
        return NvmeStatus.success;
      default:
        return this.getDefault(id, dword11);
    }
  }

  private getThreshold(dword11: number): number {
    if (((dword11 >>> 16) & 15) !== 0) return NvmeStatus.success;
    const kind = (dword11 >>> 20) & 3;
    if (kind > 1) return NvmeStatus.invalidField;
    this.result = kind === 0 ? this.temperatureOver : this.temperatureUnder;
    return NvmeStatus.success;
  }

  private getDefault(id: number, dword11: number): number {
    switch (id) {
      case Feature.arbitration:
        this.result = NO_BURST_LIMIT;
        return NvmeStatus.success;
      case Feature.temperatureThreshold:
        if (((dword11 >>> 16) & 15) === 0 && ((dword11 >>> 20) & 3) === 0) this.result = WARNING_TEMPERATURE_K;
        return NvmeStatus.success;
      case Feature.numberOfQueues:
        this.result = this.queues;
        return NvmeStatus.success;
      case Feature.interruptVector: {
        const vector = dword11 & 0xffff;
        if (vector > this.subject.queuePairs) return NvmeStatus.invalidField;
        this.result = vector | ((this.uncoalesced.at(vector) ?? 0) === 0 ? 0 : NO_COALESCING);
        return NvmeStatus.success;
      }
      default:
        return NvmeStatus.success;
    }
  }

  /** Milliseconds since what the host has set, or since power-on; and where they come from. */
  private putTimestamp(): void {
    const { timestamp, timestampSetNs } = this;
    const view = new DataView(timestamp.buffer);
    const isSet = timestampSetNs >= 0;
    const base = isSet ? view.getUint16(4, true) * HIGH_WORD + view.getUint32(0, true) : 0;
    const now = base + Math.floor((this.subject.nowNs() - (isSet ? timestampSetNs : 0)) / NS_PER_MS);
    if (isSet) this.timestampSetNs = this.subject.nowNs();
    view.setUint32(0, now % HIGH_WORD, true);
    view.setUint16(4, Math.floor(now / HIGH_WORD) % 0x10000, true);
    timestamp[6] = isSet ? TIMESTAMP_SET << 1 : 0;
    timestamp[7] = 0;
  }

  private get queues(): number {
    const { queuePairs } = this.subject;
    return (queuePairs - 1) | ((queuePairs - 1) << 16);
  }

  private checkNamespace(nsid: number): number {
    if (nsid === 0 || nsid > NAMESPACES_MAX) return NvmeStatus.invalidNamespace;
    return this.subject.namespaces[nsid] === null ? NvmeStatus.invalidField : NvmeStatus.success;
  }
}

function isKnown(id: number): boolean {
  return (Object.values(Feature) as readonly number[]).includes(id);
}
