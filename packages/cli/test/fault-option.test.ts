/** `pincushion run --fault`: what a workload meets, and how the command ends. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExitCode, processTerminal, runCommandLine } from '@pincushion/cli';
import type { RunReport } from '@pincushion/workloads';

const folder = mkdtempSync(join(tmpdir(), 'pincushion-faults-'));
const job = join(folder, 'small.fio');
writeFileSync(job, '[job]\nrw=write\nbs=4k\nsize=1m\niodepth=4\nverify=crc32c\n');
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const terminal = processTerminal();

async function run(plan: string) {
  const said = { out: '', err: '' };
  const code = await runCommandLine(['run', job, '--fault', plan, '--json', '--replay-dir', folder], {
    ...terminal,
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
  });
  const findings = said.out === '' ? [] : (JSON.parse(said.out) as RunReport).findings;
  return { code, err: said.err, findings };
}

describe('run --fault', () => {
  it.each([
    'completion@3=lost',
    'irq@3=lost',
    'completion@3=twice',
    'completion@5=late:1ms',
    'completion@7=reorder',
    'dma@40=delay:50us',
    'map@9', // No addresses just now: sent again (BLK_STS_RESOURCE).
  ])('%s: the NVMe driver gets over it, and nothing is lost', async (plan) => {
    expect(await run(plan)).toEqual({ code: ExitCode.done, err: '', findings: [] });
  });

  it.each(['pin@9=EFAULT', 'map@9=EINVAL'])('%s: an I/O fails, and the command says so', async (plan) => {
    const { code, findings } = await run(plan);
    expect([code, findings.map((finding) => finding.code)]).toEqual([ExitCode.findings, ['IO_FAILED']]);
  });

  it('gives up after two virtual minutes when what fails is tried again for ever, and names what did not end', async () => {
    const { code, findings } = await run('map@9..');
    expect(code).toBe(ExitCode.findings);
    expect(findings.filter(({ code }) => code === 'IO_LOST')).toHaveLength(4);
    const stuck = findings.find(({ code }) => code === 'TASK_STUCK');
    expect(stuck?.summary).toMatch(/could not be shut down: .*has not ended at/);
  });

  it('lets a device go in the middle, and ends with what did not get done', async () => {
    const { code, findings } = await run('device.nvme0@t=1ms');
    expect(code).toBe(ExitCode.findings);
    expect(new Set(findings.map((finding) => finding.code))).toEqual(new Set(['IO_FAILED']));
    expect(findings.map(({ summary }) => summary)).toContain(
      'the workload ended early: nvme0 was pulled out, and with it its disk',
    );
  });

  it.each([
    ['completions@3', /FAULT_PLAN_INVALID: .*there is no site completions\. .*Try completion/],
    ['device.nvme1@t=1ms', /FAULT_PLAN_INVALID: .*not there: nvme1\. .*Try nvme0/],
  ])('%s: refused as bad input', async (plan, message) => {
    const { code, err } = await run(plan);
    expect(code).toBe(ExitCode.usage);
    expect(err).toMatch(message);
  });
});
