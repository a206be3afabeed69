import { ControlConnection } from '../src/serve/control-connection';
import { ShimConnection } from '../src/serve/shim-connection';
import { TestHost } from './nbd-client';

function message(fields: {
  magic?: string;
  kind?: number;
  command?: Buffer;
  data?: Buffer;
  wanted?: number;
  length?: number;
}): Buffer {
  const { magic = 'NVSH', kind = 0, command = Buffer.alloc(64, 6), data = Buffer.alloc(0), wanted = 0 } = fields;
  const head = Buffer.alloc(8);
  head.write(magic, 'latin1');
  head.writeUInt32LE(kind, 4);
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(fields.length ?? data.length, 0);
  lengths.writeUInt32LE(wanted, 4);
  return Buffer.concat([head, command, lengths, data]);
}

const shim = (): TestHost => new TestHost((host) => new ShimConnection(host));

describe('a client with NVMe commands', () => {
  it('gets status, dword 0 and data, one command after the other', () => {
    const host = shim();
    const write = message({ kind: 1, command: Buffer.alloc(64, 1), data: Buffer.from('abcd') });
    host.connection.receive(Buffer.concat([message({ wanted: 4 }), write]));
    expect(host.submitted).toHaveLength(1);
    host.answers[0]({ status: 0x4002, result: 7, data: Buffer.from('WXYZ') });
    expect(host.take().toString('hex')).toBe('0240000007000000040000005758595a');
    expect(host.submitted).toEqual([
      { kind: 'nvme', isAdmin: true, command: new Uint8Array(64).fill(6), data: new Uint8Array(0), wanted: 4 },
      {
        kind: 'nvme',
        isAdmin: false,
        command: new Uint8Array(64).fill(1),
        data: Uint8Array.from(Buffer.from('abcd')),
        wanted: 0,
      },
    ]);
  });

  it('may send its bytes one by one', () => {
    const host = shim();
    const whole = message({ kind: 1, data: Buffer.from('abcd') });
    for (const byte of whole.subarray(0, -1)) host.connection.receive(Buffer.of(byte));
    expect(host.submitted).toHaveLength(0);
    host.connection.receive(whole.subarray(-1));
    expect(host.submitted).toHaveLength(1);
  });

  it.each([
    ['another magic', message({ magic: 'HTTP' })],
    ['an unknown kind', message({ kind: 2 })],
    ['too much data', message({ length: 1 << 30 })],
    ['too much wanted', message({ wanted: 0xffff_ffff })],
  ])('is hung up on for %s', (_what, bytes) => {
    const host = shim();
    host.connection.receive(bytes);
    host.connection.receive(bytes);
    expect([host.closed, host.submitted.length]).toEqual([true, 0]);
  });
});

describe('the control socket', () => {
  const control = () => {
    const said: string[] = [];
    const host = new TestHost(
      (own) => new ControlConnection({ status: () => 'answered 3', quit: () => void said.push('quit') }, own),
    );
    return Object.assign(host, {
      said,
      tell: (text: string) => (host.connection.receive(Buffer.from(text)), host.take().toString()),
    });
  };

  it('arms and disarms plans in the machine, and answers when that is done', () => {
    const host = control();
    expect(host.tell('arm io.read@2=EIO\ndis')).toBe('');
    host.answer();
    expect(host.tell('arm\n')).toBe('ok\n');
    expect(host.submitted).toEqual([
      { kind: 'plan', plan: 'io.read@2=EIO' },
      { kind: 'plan', plan: null },
    ]);
  });

  it('tells its status, ends the server, and says what it does not know', () => {
    const host = control();
    expect(host.tell('status\n\nfoo bar\n')).toBe(
      'ok answered 3\nerror: there is no foo; expected arm PLAN, disarm, status or quit\n',
    );
    expect(host.tell('quit\n')).toBe('ok\n');
    expect(host.said).toEqual(['quit']);
  });

  it('hangs up on a line without end', () => {
    const host = control();
    host.connection.receive(Buffer.alloc(70_000, 65));
    expect(host.closed).toBe(true);
  });
});
