/**
 * Commands and register writes at random, in share: `PINCUSHION_FUZZ_COMMANDS=10000000` runs the full ten million, which takes about
 * a minute. Each million has a seed of its own.
 */
import { FuzzHost } from './fuzz-host';

const COMMANDS = Number(process.env['PINCUSHION_FUZZ_COMMANDS'] ?? 1_000_000);
const AT_A_TIME = 1_000_000;
const MINUTE_MS = 60_000;

describe(`a controller that is sent ${COMMANDS} commands at random`, () => {
  for (let from = 0; from < COMMANDS; from += AT_A_TIME) {
    const n = Math.min(AT_A_TIME, COMMANDS - from);
    it(
      `throws nothing, hangs nowhere, and accounts for every command from ${from} on`,
      () => {
        const { commands, completions, resets } = new FuzzHost(1 + from / AT_A_TIME).run(n);
        expect(commands).toBeGreaterThanOrEqual(n);
        expect(completions).toBeGreaterThan(n / 2);
        expect(resets).toBeGreaterThan(n / 200);
      },
      5 * MINUTE_MS,
    );
  }
});
