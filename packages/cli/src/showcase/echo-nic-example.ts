/** What the acts use of examples/echo-nic: loaded at run time, so its types are said here. */
import type { Plugin } from '@pincushion/driver';
import type { Process } from '@pincushion/machine';
import type { Task } from '@pincushion/sim';
import { errnoName, PincushionError } from '@pincushion/sim';
import { exampleFile } from '../clone-examples';
import { loadModule } from '../load-module';

export interface EchoNicExample {
  readonly plugin: Plugin;
  readonly buggyPlugin: Plugin;
  readonly EchoSocket: { open(program: Process, path?: string): Task<EchoSocket | number> };
}

interface EchoSocket {
  register(address: number, length: number): Task<number>;
  deregister(): Task<number>;
  send(offset: number, length: number): Task<number>;
  receive(offset: number, length: number): Task<number>;
  close(): Task<number>;
}

export function loadEchoNic(): EchoNicExample {
  return loadModule(exampleFile('examples/echo-nic/src/index.ts'), 'plugin') as unknown as EchoNicExample;
}

/** Waits for a call that must not fail. */
export function* expectDone(what: string, call: Task<number>): Task {
  const n = yield* call;
  if (n < 0) throw new PincushionError('INTERNAL', `${what}: ${errnoName(n)}`);
}
