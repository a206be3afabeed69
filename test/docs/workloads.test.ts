import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fitFioJob, parseBlkparse, parseFioJob } from '@pincushion/workloads';
import { REPOSITORY, documents, inlineCode, readDocument, section, tableRows } from './documents';

const manual = readDocument('docs/reference/workloads.md');
const jobFiles = section(manual, 'fio job files');
const rows = tableRows(jobFiles).map((row) => row.map((cell) => cell.replaceAll('`', '')));
const DISK = { name: 'nvme0n1', capacitySectors: 2 ** 27, logicalBlockBytes: 512 };

/** Names of the two lists in the source of the parser; they are private to it. */
function parserOptions(): { readonly supported: readonly string[]; readonly noted: readonly string[] } {
  const source = readFileSync(join(REPOSITORY, 'packages/workloads/src/fio-job.ts'), 'utf8');
  const noted = /const NOTED\b[^=]*= Object\.freeze\(\[([^\]]*)\]/.exec(source)?.[1] ?? '';
  const supported = /^const OPTIONS\b[^]*?^\}\);/m.exec(source)?.[0] ?? '';
  return {
    supported: [...supported.matchAll(/^ {2}([a-z_]+):/gm)].map((match) => match[1]),
    noted: [...noted.matchAll(/'([a-z_]+)'/g)].map((match) => match[1]),
  };
}

function notedInTheManual(): readonly string[] {
  const from = jobFiles.indexOf('Understood, and without effect');
  const text = jobFiles.slice(from, jobFiles.indexOf('\n\n', from)).replaceAll('\n', ' ');
  return inlineCode(text);
}

describe('docs/reference/workloads.md', () => {
  const { supported, noted } = parserOptions();

  it('has every option that the parser of job files supports, and none besides', () => {
    expect(supported.length).toBeGreaterThan(20);
    expect(rows.map(([name]) => name).sort()).toEqual([...supported].sort());
  });

  it('has every option that is understood and without effect, and none besides', () => {
    expect(noted.length).toBeGreaterThan(10);
    expect([...notedInTheManual()].sort()).toEqual([...noted].sort());
  });

  it.each(rows)('shows for %s an example that is understood: %s', (name, example) => {
    expect(example.split('=')[0]).toBe(name);
    const around = name === 'time_based' ? ['runtime=1s'] : [];
    const file = parseFioJob(['[job]', ...around, example].join('\n'), 'example.fio', { strict: true });
    expect(fitFioJob(file, () => DISK).length).toBeGreaterThan(0);
  });

  it.each(['rw', 'bs', 'iodepth', 'numjobs', 'fsync', 'rwmixread', 'thinktime_blocks'])(
    'has the default of %s',
    (name) => {
      const standard = rows.find(([option]) => option === name)?.[3] ?? '';
      const job = (line: string) => fitFioJob(parseFioJob(`[job]\n${line}\n`, 'example.fio'), () => DISK)[0];
      const mode = name === 'rwmixread' || name === 'bs' ? 'rw=rw\n' : '';
      expect(job(`${mode}${name}=${standard}`)).toEqual(job(mode));
    },
  );

  it('shows a line of a trace that can be read', () => {
    const [{ text }] = manual.blocks.filter(({ language }) => language === 'text');
    expect(parseBlkparse(Buffer.from(`${text.split('\n')[0]}\n`), 'example').count).toBe(1);
  });

  it('has every member of the context of a workload module', () => {
    const source = readFileSync(join(REPOSITORY, 'packages/workloads/src/workload-module.ts'), 'utf8');
    const context = /export interface WorkloadContext \{([^]*?)^\}/m.exec(source)?.[1] ?? '';
    const members = [...context.matchAll(/^ {2}(?:readonly )?(\w+)[:(]/gm)].map((match) => match[1]);
    expect(members.length).toBeGreaterThan(5);
    const documented = tableRows(section(manual, 'Workload modules')).map(([cell]) => /\w+/.exec(cell)?.[0]);
    expect(documented.sort()).toEqual(members.sort());
  });
});

describe('the job files in the documents', () => {
  const blocks = documents().flatMap((document) => document.blocks.filter(({ language }) => language === 'ini'));

  it('are there', () => {
    expect(blocks.length).toBeGreaterThan(0);
  });

  it.each(blocks)('can be run, with supported options only: $where', ({ where, text }) => {
    const file = parseFioJob(text, where, { strict: true });
    expect(fitFioJob(file, () => DISK).length).toBeGreaterThan(0);
  });
});
