/**
 * The request for asynchronous events that stays with the controller: when it comes back there is news, and it is renewed.
 *
 *   namespaces have changed     the driver looks for them again
 *   persistent internal error   the controller is reset
 *   all others                  are noted
 *
 * Source followed: `nvme_enable_aen`, `nvme_complete_async_event`, `nvme_handle_aen_notice`, `nvme_async_event_work` (Linux
 * 6.18, drivers/nvme/host/core.c).
 */
import type { Log, Task } from '@pincushion/driver';
import { AdminOpcode, AsyncEventType, AsyncNoticeInfo, Feature } from '../spec/opcodes';
import type { AdminCalls } from './admin-calls';
import type { AdminQueue } from './admin-queue';

/** Asynchronous Event Configuration: the notices Linux asks for, as far as the controller has them (NVME_AEN_SUPPORTED). */
const NAMESPACE_NOTICES = 1 << 8;
const FIRMWARE_NOTICES = 1 << 9;
const WANTED = NAMESPACE_NOTICES | FIRMWARE_NOTICES;
/** Of error events. */
const PERSISTENT_INTERNAL_ERROR = 3;

/** Who hears of events. Hardirq context. */
export interface EventListener {
  namespacesChanged(): void;
  internalError(): void;
}

export class EventRequests {
  constructor(
    private readonly admin: AdminQueue,
    private readonly calls: AdminCalls,
    private readonly log: Log,
    private readonly listener: EventListener,
  ) {}

  /** Says which events are wanted and leaves a request. Task context. @param offered OAES of Identify Controller */
  *enable(offered: number): Task {
    const wanted = offered & WANTED;
    if (wanted === 0) return;
    yield* this.calls.setFeature(Feature.asyncEvents, wanted);
    this.send();
  }

  private send(): void {
    this.admin.send({ opcode: AdminOpcode.asyncEventRequest }, Infinity, ({ status, result }) => {
      if (status !== 0) return;
      this.hear(result);
      this.send();
    });
  }

  private hear(result: number): void {
    const type = result & 7;
    const info = (result >>> 8) & 0xff;
    this.log.note(`asynchronous event 0x${result.toString(16)}`);
    if (type === AsyncEventType.notice && info === AsyncNoticeInfo.namespaceAttribute)
      this.listener.namespacesChanged();
    if (type === AsyncEventType.error && info === PERSISTENT_INTERNAL_ERROR) this.listener.internalError();
  }
}
