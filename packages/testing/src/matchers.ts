/**
 * Assertions about devices under test, for any test framework.
 *
 * A matcher takes what was received and gives `pass` and a message, which is what `expect.extend` of Jest and of Vitest
 * want. For node's own runner and others there is `expectThat`, which throws. Messages say what is there, not only what
 * is missing: who holds the page, which findings there are.
 */
import type { Device } from '@pincushion/driver';
import type { ErrorCode, Finding, World } from '@pincushion/sim';
import { errnoName, errnoOf } from '@pincushion/sim';
import { FindingsError, describeFinding, leakCheck } from './leak-check';
import { PageUnderTest } from './page-under-test';

export interface MatcherResult {
  readonly pass: boolean;
  /** Worded for the case that the test fails. */
  readonly message: () => string;
}

/** What the matchers need of a device bed. */
interface BedLike {
  readonly world: World;
  readonly device: Device;
  readonly findings: readonly Finding[];
  expectFinding(code: ErrorCode): void;
  close(): void;
}

/** By name; hand it to `expect.extend`. */
export const matchers = Object.freeze({
  /** Of a bed or a world: ends the bed; nothing may be left behind and nothing unexpected found. */
  toHaveNoLeaks(received: unknown): MatcherResult {
    try {
      if (isBed(received)) received.close();
      else if (isWorld(received)) leakCheck(received);
      else return wrongSubject('toHaveNoLeaks', 'a bed of testDevice or a world', received);
    } catch (error) {
      if (!(error instanceof FindingsError)) throw error;
      return { pass: false, message: () => `Expected nothing to be left behind, but there is:\n${error.message}` };
    }
    return { pass: true, message: () => 'Expected something to be left behind, but nothing is.' };
  },

  /** Of a page (`bed.page(address)`): it is pinned, or pinned so often. */
  toBePinned(received: unknown, times?: number): MatcherResult {
    if (!(received instanceof PageUnderTest)) return wrongSubject('toBePinned', 'a page: bed.page(address)', received);
    const { pins } = received;
    const pass = times === undefined ? pins > 0 : pins === times;
    const wanted = times === undefined ? 'pinned' : `pinned ${count(times, 'time')}`;
    const address = `0x${received.address.toString(16)}`;
    return {
      pass,
      message: () =>
        `Expected the page at ${address} ${pass ? 'not ' : ''}to be ${wanted}; it is pinned ${count(pins, 'time')}:\n${received.holders()}`,
    };
  },

  /** Of a bed: so many DMA mappings of its device are alive. */
  toHaveMappings(received: unknown, mappings: number): MatcherResult {
    if (!isBed(received)) return wrongSubject('toHaveMappings', 'a bed of testDevice', received);
    const { domain, path } = received.device;
    const pass = domain.liveMappings === mappings;
    const list = domain.mappings().map(({ iova, bytes }) => `  ${bytes} bytes at 0x${iova.toString(16)}`);
    return {
      pass,
      message: () =>
        `Expected ${path} ${pass ? 'not ' : ''}to have ${count(mappings, 'DMA mapping')}; it has ${domain.liveMappings}${list.length === 0 ? '.' : ':'}\n${list.join('\n')}`,
    };
  },

  /** Of the result of a call, or of a function that throws: a certain error, by number (either sign), name or code. */
  toHaveFailedWith(received: unknown, error: number | string): MatcherResult {
    const failure = failureOf(received);
    const name = typeof error === 'number' ? errnoName(error) : error;
    const pass = failure.names.includes(name);
    return {
      pass,
      message: () => `Expected ${pass ? 'another failure than' : 'a failure with'} ${name}; got ${failure.text}.`,
    };
  },

  /** Of a bed or a world: a finding with this code was made. On a bed it is expected from now on, so `close` accepts it. */
  toHaveFound(received: unknown, code: ErrorCode): MatcherResult {
    if (!isBed(received) && !isWorld(received)) return wrongSubject('toHaveFound', 'a bed or a world', received);
    const findings = isBed(received) ? received.findings : received.findings.all;
    const pass = findings.some((finding) => finding.code === code);
    if (pass && isBed(received)) received.expectFinding(code);
    const list = findings.map(describeFinding).join('\n');
    return {
      pass,
      message: () =>
        `Expected ${pass ? 'no ' : ''}${code} to be found; found ${list === '' ? 'nothing' : `is:\n${list}`}.`,
    };
  },

  /** Of a bed: the device is in a state, such as `bound` or `gone`. */
  toBeInState(received: unknown, state: Device['state']): MatcherResult {
    if (!isBed(received)) return wrongSubject('toBeInState', 'a bed of testDevice', received);
    const { device } = received;
    const pass = device.state === state;
    return {
      pass,
      message: () => `Expected ${device.path} ${pass ? 'not ' : ''}to be ${state}; it is ${device.state}.`,
    };
  },
});

type Matchers = typeof matchers;
/** The assertions on one subject, as `expectThat` gives them. */
export type Assertions = {
  readonly [K in keyof Matchers]: Matchers[K] extends (received: unknown, ...given: infer A) => MatcherResult
    ? (...given: A) => void
    : never;
};

/** The matchers for runners without `expect`: each throws an Error with the matcher's message unless it passes. */
export function expectThat(received: unknown): Assertions & { readonly not: Assertions } {
  return { ...assertions(received, true), not: assertions(received, false) };
}

function assertions(received: unknown, wanted: boolean): Assertions {
  const entries = Object.entries(matchers).map(([name, matcher]) => {
    const assert = (...given: never[]): void => {
      const { pass, message } = (matcher as (received: unknown, ...given: unknown[]) => MatcherResult)(
        received,
        ...given,
      );
      if (pass !== wanted) throw new Error(message());
    };
    return [name, assert];
  });
  return Object.fromEntries(entries) as Assertions;
}

function failureOf(received: unknown): { readonly names: readonly string[]; readonly text: string } {
  if (typeof received === 'function') {
    try {
      return failureOf((received as () => unknown)());
    } catch (error) {
      return failureOf(error);
    }
  }
  if (typeof received === 'number') {
    return received < 0
      ? { names: [errnoName(received)], text: errnoName(received) }
      : { names: [], text: String(received) };
  }
  if (!(received instanceof Error)) return { names: [], text: `${typeof received} ${String(received)}` };
  const { code, errnoName: errno } = received as { code?: unknown; errnoName?: unknown };
  const named = [code, errno, (received as { name?: unknown }).name].filter((name) => typeof name === 'string');
  const inMessage = [...received.message.matchAll(/\bE[A-Z0-9]{2,}\b/g)].map(([name]) => name);
  return { names: [...named, ...inMessage.filter((name) => errnoOf(name) !== 0)], text: received.message };
}

function isWorld(received: unknown): received is World {
  return typeof received === 'object' && received !== null && 'checkAtEnd' in received && 'findings' in received;
}

function isBed(received: unknown): received is BedLike {
  return typeof received === 'object' && received !== null && 'expectFinding' in received && 'device' in received;
}

function wrongSubject(matcher: string, expected: string, received: unknown): MatcherResult {
  throw new TypeError(`${matcher} is about ${expected}, not about ${typeof received}`);
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
