/** nvme-cli of this host drives an emulated controller: what it shows is what the machine file says. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../cli/pincushion';
import type { Ended } from '../cli/pincushion';
import { describeClients, run, runAgain, serve } from './served';
import type { Server } from './served';

const MACHINE = `
memory: { ram: 256MiB }
cpus: 2
devices:
  - name: nvme0
    plugin: '@pincushion/nvme-p2p'
    model:
      serial: CLIENT-7
      modelName: Served by Pincushion
      queuePairs: 5
      mdts: 6
      namespaces: [{ capacity: 64MiB }, { capacity: 32MiB, blockBytes: 4096 }]
`;

describeClients('nvme-cli', ['nvme', 'cc'], () => {
  const folder = temporaryFolder();
  const socket = join(folder, 'nvme.sock');
  const session = join(folder, 'nvme.session.jsonl');
  const library = join(folder, 'nvme-ioctl-socket.so');
  const content = join(folder, 'content');
  const back = join(folder, 'back');
  let server: Server;

  const nvme = (...words: readonly string[]): Promise<Ended> =>
    run('nvme', words, { cwd: folder, env: { PINCUSHION_NVME: socket, LD_PRELOAD: library } });
  const facts = async (...words: readonly string[]): Promise<Record<string, unknown>> => {
    const { code, out, err } = await nvme(...words, '--output-format=json');
    expect([code, err]).toEqual([0, '']);
    return JSON.parse(out) as Record<string, unknown>;
  };
  const succeeds = async (...words: readonly string[]): Promise<string> => {
    const { code, out, err } = await nvme(...words);
    expect([words[0], code, err.replace(/^.*(: [Ss]uccess|is Success and result: .*)$/gm, '').trim()]).toEqual([
      words[0],
      0,
      '',
    ]);
    return out;
  };

  beforeAll(async () => {
    const source = join(__dirname, 'nvme-ioctl-socket.c');
    expect(
      await run('cc', ['-shared', '-fPIC', '-O2', '-Wall', '-Werror', '-o', library, source, '-ldl']),
    ).toMatchObject({ code: 0 });
    writeFileSync(join(folder, 'machine.yaml'), MACHINE);
    writeFileSync(
      content,
      Uint8Array.from({ length: 8192 }, (_, i) => (i * 31) % 253),
    );
    server = await serve(['nvme', '--socket', socket, '--machine', join(folder, 'machine.yaml'), '--record', session]);
  });

  it('is told who the controller is, and its namespaces, as the machine file has them', async () => {
    const controller = await facts('id-ctrl', '/dev/nvme0');
    expect([String(controller['sn']).trim(), String(controller['mn']).trim(), controller['mdts']]).toEqual([
      'CLIENT-7',
      'Served by Pincushion',
      6,
    ]);
    const first = await facts('id-ns', '/dev/nvme0n1');
    const second = await facts('id-ns', '/dev/nvme0n2');
    expect([first['nsze'], second['nsze']]).toEqual([131_072, 8192]);
    const format = (second['lbafs'] as { ds: number }[])[Number(second['flbas']) & 15];
    expect(format.ds).toBe(12);
    expect(await succeeds('list-ns', '/dev/nvme0')).toBe('[   0]:0x1\n[   1]:0x2\n');
  });

  it('reads logs and features', async () => {
    const smart = await facts('smart-log', '/dev/nvme0');
    expect([smart['critical_warning'], smart['avail_spare']]).toEqual([0, 100]);
    expect(await succeeds('error-log', '/dev/nvme0')).toMatch(/^Error Log Entries for device:nvme0 entries:\d+/);
    expect(await succeeds('get-feature', '/dev/nvme0', '--feature-id=7', '--human-readable')).toMatch(/\(NCQA\): 5\n/);
  });

  it('reads what it wrote, and compares it', async () => {
    const place = ['/dev/nvme0n1', '--start-block=8', '--block-count=15', '--data-size=8192'];
    await succeeds('write', ...place, `--data=${content}`);
    await succeeds('read', ...place, `--data=${back}`);
    expect(readFileSync(back).equals(readFileSync(content))).toBe(true);
    await succeeds('compare', ...place, `--data=${content}`);
    const elsewhere = await nvme('compare', '/dev/nvme0n1', '--start-block=9', ...place.slice(2), `--data=${content}`);
    expect(elsewhere.err + elsewhere.out).toMatch(/Compare Failure.*0x285/s);
  });

  it('copies, zeroes, deallocates and flushes', async () => {
    await succeeds('copy', '/dev/nvme0n1', '--sdlba=1000', '--blocks=15', '--slbs=8');
    await succeeds(
      'compare',
      '/dev/nvme0n1',
      '--start-block=1000',
      '--block-count=15',
      '--data-size=8192',
      `--data=${content}`,
    );
    await succeeds('write-zeroes', '/dev/nvme0n1', '--start-block=1000', '--block-count=7');
    await succeeds(
      'read',
      '/dev/nvme0n1',
      '--start-block=1000',
      '--block-count=15',
      '--data-size=8192',
      `--data=${back}`,
    );
    expect(readFileSync(back).equals(Buffer.concat([Buffer.alloc(4096), readFileSync(content).subarray(4096)]))).toBe(
      true,
    );
    await succeeds('dsm', '/dev/nvme0n1', '--ad', '--slbs=8', '--blocks=16');
    await succeeds('flush', '/dev/nvme0n1', '--namespace-id=1');
  });

  it('formats a namespace, whose content is gone then', async () => {
    const place = ['/dev/nvme0n2', '--start-block=0', '--block-count=0', '--data-size=4096'];
    await succeeds('write', ...place, `--data=${content}`);
    await succeeds('format', '/dev/nvme0n2', '--namespace-id=2', '--ses=1', '--force');
    const { lbafs, flbas } = await facts('id-ns', '/dev/nvme0n2');
    const bytes = 1 << (lbafs as { ds: number }[])[Number(flbas) & 15].ds;
    await succeeds(
      'read',
      '/dev/nvme0n2',
      '--start-block=0',
      '--block-count=0',
      `--data-size=${bytes}`,
      `--data=${back}`,
    );
    expect(
      readFileSync(back)
        .subarray(0, bytes)
        .every((byte) => byte === 0),
    ).toBe(true);
  });

  it('sends commands of its own making, and is told what was wrong with them', async () => {
    const identity = await succeeds(
      'admin-passthru',
      '/dev/nvme0',
      '--opcode=6',
      '--cdw10=1',
      '--data-len=4096',
      '--read',
    );
    expect(identity).toContain('CLIENT-7');
    const unknown = await nvme('admin-passthru', '/dev/nvme0', '--opcode=0x7f');
    expect(unknown.err + unknown.out).toMatch(/Invalid Command Opcode/);
    const far = await nvme(
      'read',
      '/dev/nvme0n1',
      '--start-block=999999',
      '--block-count=0',
      '--data-size=512',
      `--data=${back}`,
    );
    expect(far.err + far.out).toMatch(/LBA/);
  });

  it('leaves nothing behind, and its session runs again without it', async () => {
    expect(statSync(socket).isSocket()).toBe(true);
    const { code, out, err } = await server.stop();
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^\d+ requests, nothing found$/m);
    expect(existsSync(socket)).toBe(false);
    const again = await runAgain(session);
    expect(again.out).toMatch(/every reply is the recorded one/);
    expect(again.code).toBe(0);
  });
});
