/**
 * `import '@pincushion/testing/jest'` gives Jest's `expect` the matchers, and their types. With Vitest, or with an `expect`
 * that is imported, call `expect.extend(matchers)`.
 */
import type { Device, ErrorCode } from '@pincushion/driver';
import { matchers } from './matchers';

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- The types of Jest can be extended in no other way.
  namespace jest {
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- Declarations that merge have the same parameters.
    interface Matchers<R, T> {
      toHaveNoLeaks(): R;
      toBePinned(times?: number): R;
      toHaveMappings(mappings: number): R;
      toHaveFailedWith(error: number | string): R;
      toHaveFound(code: ErrorCode): R;
      toBeInState(state: Device['state']): R;
    }
  }
}

const { expect } = globalThis as { expect?: { extend(given: typeof matchers): void } };
if (expect === undefined) {
  throw new Error(
    '@pincushion/testing/jest needs the global expect of Jest. Elsewhere: expectThat, or expect.extend(matchers).',
  );
}
expect.extend(matchers);
