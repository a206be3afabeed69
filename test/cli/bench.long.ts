/** `pincushion bench --json`: its shape is what the committed figures and their readers rely on. */
import { cpus } from 'node:os';
import { pincushion } from './pincushion';

describe('pincushion bench', () => {
  it('prints the machine and, for each result, value, unit and rounds', async () => {
    const words = ['bench', 'boot.2tib', 'nvme.read4k', '--quick', '--rounds', '2', '--json'];
    const { code, out, err } = await pincushion(words);
    expect(err).toBe('');
    expect(code).toBe(0);
    const report: unknown = JSON.parse(out);
    expect(report).toMatchObject({
      schemaVersion: 1,
      machine: { cpu: cpus()[0].model.trim(), cores: cpus().length, node: process.version },
      results: [
        { name: 'nvme.read4k.qd32.nodata', unit: 'I/Os/s' },
        { name: 'nvme.read4k.qd32.data', unit: 'I/Os/s' },
        { name: 'boot.2tib', unit: 'ms' },
        { name: 'boot.2tib.rss', unit: 'MiB' },
      ],
    });
    for (const { value, rounds } of (report as { results: { value: number; rounds: number[] }[] }).results) {
      expect(rounds).toHaveLength(2);
      expect(value).toBeGreaterThanOrEqual(Math.min(...rounds));
      expect(value).toBeLessThanOrEqual(Math.max(...rounds));
    }
  }, 60_000);
});
