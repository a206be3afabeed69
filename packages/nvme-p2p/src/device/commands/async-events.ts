/**
 * Asynchronous events: the host leaves requests with the controller, and an event completes one of them.
 *
 *   error     a bad doorbell                     told while a request is there or inside; otherwise dropped
 *   smart     a health condition has come up     if the host has enabled that condition (feature 0Bh); kept until a request comes
 *   notice    namespaces have changed            the same
 *
 * Once reported, events of a type stay masked until the host reads the log page that explains them. The newest request is
 * completed first.
 * Source: NVM Express Base Specification 1.4, section 5.2.
 */
import { AsyncEventType } from '../../spec/opcodes';

/** Events kept while there is no request to complete; later ones are dropped. */
const EVENTS_KEPT_MAX = 64;

export class AsyncEvents {
  private readonly requests: number[] = [];
  private readonly events: number[] = [];
  private masked = 0;

  /**
   * @param limit requests that may be outstanding @param isComing whether a request has been fetched and not yet been held
   * @param complete completes the request in a slot with this dword 0
   */
  constructor(
    private readonly limit: number,
    private readonly isComing: () => boolean,
    private readonly complete: (slot: number, result: number) => undefined,
  ) {}

  /** Keeps a request; false when the host has left as many as are allowed. */
  hold(slot: number): boolean {
    if (this.requests.length >= this.limit) return false;
    this.requests.push(slot);
    return true;
  }

  /** After `hold`, and after whatever may let an event out. */
  deliver(): void {
    for (let i = 0; i < this.events.length && this.requests.length > 0;) {
      const event = this.events[i];
      const type = 1 << (event & 7);
      if ((this.masked & type) !== 0) {
        i++;
        continue;
      }
      this.events.splice(i, 1);
      this.masked |= type;
      this.complete(this.requests.pop() as number, event);
    }
  }

  report(type: number, info: number, logPage: number): void {
    if (type === AsyncEventType.error && this.requests.length === 0 && !this.isComing()) return;
    if (this.events.length < EVENTS_KEPT_MAX) this.events.push((logPage << 16) | (info << 8) | type);
    this.deliver();
  }

  /** The host has read the log page of this type. */
  unmask(type: number): void {
    this.masked &= ~(1 << type);
    this.deliver();
  }

  /** Drops requests and events: a controller reset. */
  reset(): void {
    this.requests.length = 0;
    this.events.length = 0;
    this.masked = 0;
  }
}
