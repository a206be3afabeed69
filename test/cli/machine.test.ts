/** Machine files of every kind, and plugins named in them, through the real command. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manyCommandLines, REPOSITORY, temporaryFolder } from './pincushion';

const folder = temporaryFolder();
const echoNic = join(REPOSITORY, 'examples/echo-nic/src/index.ts');
const description = { cpus: 2, memory: { ram: '64MiB' }, devices: [{ name: 'nvme0', plugin: '@pincushion/nvme-p2p' }] };

function machineFile(name: string, text: string): readonly string[] {
  writeFileSync(join(folder, name), text);
  return ['machine', 'show', name];
}

describe('pincushion machine show', () => {
  it('shows the same machine from YAML, JSON, TypeScript and JavaScript, with all defaults', async () => {
    const json = JSON.stringify(description);
    const ended = await manyCommandLines(
      [
        machineFile(
          'm.yaml',
          'cpus: 2\nmemory: { ram: 64MiB }\ndevices:\n  - { name: nvme0, plugin: "@pincushion/nvme-p2p" }\n',
        ),
        machineFile('m.json', json),
        machineFile('m.ts', `const cpus: number = 2;\nexport default { ...${json}, cpus };\n`),
        machineFile('m.cjs', `module.exports = { machine: ${json} };\n`),
        machineFile('m.mjs', `export default ${json};\n`),
      ],
      folder,
    );
    const [first] = ended;
    expect(first.out).toMatch(/memory 64 MiB/);
    expect(first.out).toMatch(/cpus 2/);
    expect(first.out).toMatch(/pin scheme bias/);
    expect(first.out).toMatch(/\/dev\/nvme0n1/);
    expect(ended).toEqual(ended.map(() => first));
    expect(first).toMatchObject({ code: 0, err: '' });
  }, 60_000);

  it('loads a plugin from a module file, named relative to the machine file or absolutely', async () => {
    writeFileSync(join(folder, 'again.ts'), `export { plugin } from ${JSON.stringify(echoNic)};\n`);
    const device = (plugin: string): string => JSON.stringify({ devices: [{ name: 'nic0', plugin }] });
    const ended = await manyCommandLines(
      [machineFile('absolute.json', device(echoNic)), machineFile('relative.json', device('./again.ts'))],
      folder,
    );
    for (const { code, out, err } of ended) {
      expect(err).toBe('');
      expect(code).toBe(0);
      expect(out).toMatch(/nic0[^]*\/dev\/echo0/);
    }
  }, 60_000);

  it('prints a JSON schema that knows the fields of a machine file', async () => {
    const [{ code, out }] = await manyCommandLines([['machine', 'schema']], folder);
    expect(code).toBe(0);
    expect(Object.keys((JSON.parse(out) as { properties: object }).properties)).toEqual(
      expect.arrayContaining(['memory', 'cpus', 'devices', 'iommu', 'pinScheme', 'ledger']),
    );
  }, 60_000);
});
