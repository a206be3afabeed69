/**
 * The door for tests: a local socket on which a line is a command, and each is answered by a line that begins with `ok` or `error`.
 *
 *   arm PLAN    arms a fault plan as well: its counts begin now      disarm    forgets all rules
 *   status      how many requests, in flight, faults that struck     quit      ends the server as Ctrl-C does
 */
import { PincushionError } from '@pincushion/sim';
import type { Connection, ConnectionHost } from './connection';

const LINE_BYTES_MOST = 64 * 1024;
const COMMANDS = 'arm PLAN, disarm, status or quit';

/** What the commands are about. */
export interface Controlled {
  /** Words and numbers, one line. */
  status(): string;
  quit(): void;
}

export class ControlConnection implements Connection {
  private text = '';
  private busy = false;

  constructor(
    private readonly controlled: Controlled,
    private readonly host: ConnectionHost,
  ) {}

  begin(): void {
    // The client speaks first.
  }

  get full(): boolean {
    return this.busy || this.host.congested;
  }

  receive(bytes: Uint8Array): void {
    this.text += Buffer.from(bytes).toString('utf8');
    this.resume();
  }

  resume(): void {
    for (;;) {
      if (this.full) return;
      const end = this.text.indexOf('\n');
      if (end < 0) {
        if (this.text.length > LINE_BYTES_MOST) this.host.close();
        return;
      }
      const line = this.text.slice(0, end).trim();
      this.text = this.text.slice(end + 1);
      if (line !== '') this.obey(line);
    }
  }

  private obey(line: string): void {
    const [word, ...rest] = line.split(/\s+/);
    switch (word) {
      case 'arm':
        this.plan(rest.join(' '));
        break;
      case 'disarm':
        this.plan(null);
        break;
      case 'status':
        this.say(`ok ${this.controlled.status()}`);
        break;
      case 'quit':
        this.say('ok');
        this.controlled.quit();
        break;
      default:
        this.say(`error: there is no ${word}; expected ${COMMANDS}`);
    }
  }

  private plan(plan: string | null): void {
    this.busy = true;
    try {
      this.host.submit({ kind: 'plan', plan }, () => {
        this.busy = false;
        this.say('ok');
        this.resume();
      });
    } catch (error) {
      if (!(error instanceof PincushionError)) throw error;
      this.busy = false;
      this.say(`error: ${error.message.replaceAll('\n', ' ')}`);
    }
  }

  private say(line: string): void {
    this.host.send(Buffer.from(`${line}\n`));
  }
}
