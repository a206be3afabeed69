/** NBD clients of this host use emulated disks: nbdinfo, qemu-io, nbdcopy, fio; and file systems of Debian's tools on them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, temporaryFolder } from '../cli/pincushion';
import { control, describeClients, run, runAgain, serve } from './served';
import type { Server } from './served';

/** Seconds of each run of fio. */
const FIO_SECONDS = Number(process.env['PINCUSHION_FIO_SECONDS'] ?? 10);

const folder = temporaryFolder();
const machine = join(folder, 'machine.yaml');
writeFileSync(
  machine,
  "memory: { ram: 1GiB }\ncpus: 4\ndevices:\n  - name: nvme0\n    plugin: '@pincushion/nvme-p2p'\n" +
    '    model: { namespaces: [{ capacity: 256MiB }, { capacity: 64MiB, blockBytes: 4096 }] }\n',
);

interface Served {
  readonly server: Server;
  readonly uri: (disk: string) => string;
}

async function serveNbd(...words: readonly string[]): Promise<Served> {
  const server = await serve(['nbd', '--port', '0', '--machine', machine, ...words]);
  const port = /127\.0\.0\.1:(\d+)/.exec(server.out())?.[1] ?? '';
  return { server, uri: (disk) => `nbd://127.0.0.1:${port}/${disk}` };
}

/** The end of a server that has found nothing. */
async function endsWell({ server }: Served): Promise<void> {
  const { code, out, err } = await server.stop();
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/^\d+ requests, nothing found$/m);
}

describeClients('nbdinfo and qemu-io', ['nbdinfo', 'qemu-io'], () => {
  it('see the disks as they are, and read what they wrote', async () => {
    const served = await serveNbd();
    const list = JSON.parse((await run('nbdinfo', ['--json', '--list', served.uri(''), '--no-content'])).out) as {
      exports: { 'export-name': string; 'export-size': number; block_size_minimum: number; can_fua: boolean }[];
    };
    expect(
      list.exports.map((each) => [each['export-name'], each['export-size'], each.block_size_minimum, each.can_fua]),
    ).toEqual([
      ['nvme0n1', 256 * 1024 * 1024, 512, true],
      ['nvme0n2', 64 * 1024 * 1024, 4096, true],
    ]);
    const commands = ['write -P 0x5a 0 3M', 'write -f -P 7 1M 4k', 'read -P 0x5a 0 1M', 'read -P 7 1M 4k', 'flush'];
    commands.push('discard 2M 64k', 'write -z 64k 64k', 'read -P 0 64k 64k', 'read -P 0x5a 128k 64k');
    for (const disk of ['nvme0n1', 'nvme0n2']) {
      const words = ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), served.uri(disk)];
      const { code, out, err } = await run('qemu-io', words);
      expect([code, err]).toEqual([0, '']);
      expect(out).not.toMatch(/fail|error/i);
    }
    await endsWell(served);
  });
});

describeClients('an ext4 image', ['nbdcopy', 'mke2fs', 'e2fsck'], () => {
  it('comes out byte for byte as it went in, and fsck is content with it', async () => {
    const [image, back] = [join(folder, 'in.img'), join(folder, 'out.img')];
    const made = await run('mke2fs', ['-q', '-t', 'ext4', '-d', join(REPOSITORY, 'docs'), image, '256M']);
    expect(made.code).toBe(0);
    const socket = join(folder, 'nbd.sock');
    const server = await serve(['nbd', '--socket', socket, '--export', 'nvme0n1', '--machine', machine]);
    const uri = `nbd+unix:///nvme0n1?socket=${socket}`;
    expect(await run('nbdcopy', [image, uri])).toMatchObject({ code: 0, err: '' });
    expect(await run('nbdcopy', [uri, back])).toMatchObject({ code: 0, err: '' });
    expect(readFileSync(back).equals(readFileSync(image))).toBe(true);
    expect(await run('e2fsck', ['-fn', back])).toMatchObject({ code: 0 });
    await endsWell({ server, uri: () => uri });
    expect(existsSync(socket)).toBe(false);
  });
});

describeClients('fio', ['fio'], () => {
  interface FioJob {
    readonly error: number;
    readonly total_err?: number;
    readonly read: { readonly total_ios: number };
    readonly write: { readonly total_ios: number };
  }

  /** Of random reads and writes, each block is checked. */
  const CHECKED = ['--rw=randrw', '--verify=crc32c', '--verify_fatal=1', '--time_based', `--runtime=${FIO_SECONDS}`];

  /** I/Os of 4 KiB at depth 8. */
  async function fio(uri: string, ...words: readonly string[]): Promise<FioJob> {
    const job = ['--name=mix', '--ioengine=nbd', `--uri=${uri}`, '--bs=4k', '--size=64m', '--iodepth=8'];
    const output = join(folder, 'fio.json');
    await run('fio', [...job, ...words, '--output-format=json', `--output=${output}`], {
      cwd: folder,
      withinMs: (FIO_SECONDS + 120) * 1000,
    });
    // What fio says about its connection stands before the document.
    const text = readFileSync(output, 'utf8');
    const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as { jobs: readonly FioJob[] };
    return jobs[0];
  }

  it('finds every block as it wrote it', async () => {
    const served = await serveNbd();
    const { error, read, write } = await fio(served.uri('nvme0n1'), ...CHECKED);
    expect(error).toBe(0);
    expect(Math.min(read.total_ios, write.total_ios)).toBeGreaterThan(100);
    await endsWell(served);
  }, 1_200_000);

  it('sees the injected errors and nothing else, while commands stall and the controller is reset', async () => {
    const [socket, session] = [join(folder, 'control.sock'), join(folder, 'fio.session.jsonl')];
    const served = await serveNbd('--control', socket, '--record', session, '--fault', 'io@40=reset');
    // No failed writes: fio 3.33 then expects of each block the content that it wrote to the next one.
    const errors = 'io.read@50=EIO,io.read@200..203=EIO';
    const silent = 'io.write@60=stall,io@300=reset';
    expect(await control(socket, [`arm ${errors},${silent}`, 'arm nonsense@1'])).toEqual([
      'ok',
      expect.stringMatching(/^error: FAULT_PLAN_INVALID/),
    ]);
    const { error, total_err: count } = await fio(served.uri('nvme0n1'), ...CHECKED, '--continue_on_error=io');
    expect([error, count]).toEqual([5, 5]);
    expect(await control(socket, ['status'])).toEqual([expect.stringMatching(/ struck 8 /)]);
    await endsWell(served);
    const again = await runAgain(session);
    expect(again.out).toMatch(/every reply is the recorded one/);
    expect(again.code).toBe(0);
  }, 1_200_000);

  it('sees as many writes fail as were injected', async () => {
    const served = await serveNbd('--fault', 'io.write@7=EIO,io.write[0..1023]@3..4=partial:1,io.write@90..=lost');
    const { error, total_err: count } = await fio(
      served.uri('nvme0n1'),
      '--rw=randwrite',
      '--randrepeat=1',
      '--io_size=8m',
      '--continue_on_error=io',
    );
    expect([error, count]).toEqual([5, 3]);
    await endsWell(served);
  }, 1_200_000);
});
