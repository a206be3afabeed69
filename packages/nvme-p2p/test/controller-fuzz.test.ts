/** Commands and register writes at random; controller-fuzz.long.ts has the full number. */
import { FuzzHost } from './fuzz-host';

describe('a controller that is sent 200,000 commands at random', () => {
  it('throws nothing, hangs nowhere, stays within memory, and completes or drops every command for a reason', () => {
    const result = new FuzzHost(20_260_120).run(200_000);
    expect(result.commands).toBeGreaterThanOrEqual(200_000);
    expect(result.completions).toBeGreaterThan(100_000);
    expect(result.failures).toBeGreaterThan(10_000);
    expect(result.refused).toBeGreaterThan(1_000);
    expect(result.resets).toBeGreaterThan(1_000);
  }, 60_000);

  it('does the same again with the same seed', () => {
    expect(new FuzzHost(7).run(5_000)).toEqual(new FuzzHost(7).run(5_000));
  });
});
