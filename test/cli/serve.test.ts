import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { processTerminal, runCommandLine } from '@pincushion/cli';
import { manyCommandLines, pincushion, temporaryFolder } from './pincushion';

const folder = temporaryFolder();
const socket = join(folder, 'nvme.sock');
const machine = join(folder, 'machine.yaml');
writeFileSync(machine, "memory: { ram: 64MiB }\ndevices: [{ name: nvme0, plugin: '@pincushion/nvme-p2p' }]\n");

/** One Identify Controller; resolves with the serial number. */
function identify(path: string): Promise<string> {
  const request = Buffer.alloc(80);
  request.write('NVSH');
  request[8] = 6;
  request[8 + 40] = 1;
  request.writeUInt32LE(4096, 76);
  return new Promise((done, failed) => {
    const client = connect(path, () => client.write(request));
    let reply = Buffer.alloc(0);
    client.on('data', (bytes: Buffer) => {
      reply = Buffer.concat([reply, bytes]);
      if (reply.length < 12 + 4096) return;
      client.destroy();
      done(reply.toString('latin1', 16, 36).trim());
    });
    client.on('error', failed);
  });
}

describe('pincushion serve', () => {
  it('serves until Ctrl-C, and ends with nothing left: no socket, no finding, a recording that runs again', async () => {
    const session = join(folder, 'own.session.jsonl');
    const control = join(folder, 'control.sock');
    const words = [
      'serve',
      'nvme',
      '--socket',
      socket,
      '--machine',
      machine,
      '--record',
      session,
      '--control',
      control,
    ];
    let serial = '';
    const poll = setInterval(() => {
      if (serial !== '' || !existsSync(socket)) return;
      serial = 'asked';
      void identify(socket).then((answer) => {
        serial = answer;
        const client = connect(control, () => client.end('quit\n'));
        client.resume();
      });
    }, 50);
    const { code, out, err } = await pincushion(words).finally(() => {
      clearInterval(poll);
    });
    expect([code, err, serial]).toEqual([0, '', 'PIN0001']);
    expect(out).toMatch(/^serving nvme0 on .*\n1 requests, nothing found\nagain: npx pincushion run .*\n$/);
    expect([existsSync(socket), existsSync(control)]).toEqual([false, false]);
    expect(readFileSync(session, 'utf8').trim().split('\n')).toHaveLength(4);
    let again = '';
    const terminal = { ...processTerminal(), out: (text: string) => void (again += text) };
    expect(await runCommandLine(['run', session], terminal)).toBe(0);
    expect(again).toMatch(/^1 requests in .*\nevery reply is the recorded one\n$/);
  }, 60_000);

  it('ends with 2 for what cannot be', async () => {
    const wrong: readonly (readonly [words: readonly string[], message: RegExp])[] = [
      [['nvme', '--socket', join('missing', 'x.sock')], /ADDRESS_UNUSABLE/],
      [['nvme', '--socket', 'x.sock', '--device', 'nvme1'], /DEVICE_UNKNOWN.*nvme1/],
      [['nbd', '--export', 'nvme0n7', '--port', '0'], /DEVICE_UNKNOWN.*nvme0n7.*Try nvme0n1/],
      [['nbd', '--fault', 'io.raed@3'], /FAULT_PLAN_INVALID.*Try io\.read/],
      [['nbd', '--port', '70000'], /Expected a whole number from 0 to 65535/],
    ];
    const lines = wrong.map(([words]) => ['serve', ...words, '--machine', machine]);
    const ended = await manyCommandLines(lines, folder);
    for (const [i, [words, message]] of wrong.entries()) {
      expect([words, ended[i].code, ended[i].err]).toEqual([words, 2, expect.stringMatching(message)]);
    }
  }, 60_000);
});
