import { NbdConnection } from '../src/serve/nbd/nbd-connection';
import { EXPORT, HELLO, TestHost, go, option, request, u16, u32, u64 } from './nbd-client';

const MAGIC = 0x3e889045565a9n;

/** Option replies as `option type data`. */
function optionReplies(bytes: Buffer): string[] {
  const replies: string[] = [];
  for (let at = 0; at < bytes.length;) {
    expect(bytes.readBigUInt64BE(at)).toBe(MAGIC);
    const length = bytes.readUInt32BE(at + 16);
    const data = bytes.subarray(at + 20, at + 20 + length);
    replies.push(`${bytes.readUInt32BE(at + 8)} ${bytes.readUInt32BE(at + 12).toString(16)} ${data.toString('hex')}`);
    at += 20 + length;
  }
  return replies;
}

/** Simple replies as `cookie error`, for replies without data. */
function replies(bytes: Buffer): string[] {
  expect(bytes.length % 16).toBe(0);
  return Array.from({ length: bytes.length / 16 }, (_, i) => {
    expect(bytes.readUInt32BE(16 * i)).toBe(0x67446698);
    return `${bytes.readBigUInt64BE(16 * i + 8)} ${bytes.readUInt32BE(16 * i + 4)}`;
  });
}

const SIZE_AND_FLAGS = Buffer.concat([u64(EXPORT.size), u16(0x16d)]);

describe('the handshake', () => {
  it('begins with the magic of fixed newstyle, without zeroes', () => {
    expect(new TestHost().take().toString('hex')).toBe(`${Buffer.from('NBDMAGICIHAVEOPT').toString('hex')}0003`);
  });

  it('tells about an export and its block sizes, and goes on with GO', () => {
    const host = new TestHost();
    host.take();
    host.connection.receive(Buffer.concat([HELLO, go('nvme0n1', 6, [1, 2, 9]), go('', 7)]));
    const sizes = Buffer.concat([u16(3), u32(512), u32(4096), u32(1 << 25)]).toString('hex');
    const about = Buffer.concat([u16(0), SIZE_AND_FLAGS]).toString('hex');
    expect(optionReplies(host.take())).toEqual([
      `6 3 ${about}`,
      `6 3 ${sizes}`,
      `6 3 0001${Buffer.from('nvme0n1').toString('hex')}`,
      `6 3 0002${Buffer.from('a disk').toString('hex')}`,
      '6 1 ',
      `7 3 ${about}`,
      `7 3 ${sizes}`,
      '7 1 ',
    ]);
    host.connection.receive(request({ command: 3 }));
    expect(host.submitted).toHaveLength(1);
  });

  it('lists the exports, declines what it has not, and says what is wrong with an option', () => {
    const host = new TestHost();
    host.take();
    const nameTooLong = option(7, Buffer.concat([u32(9), Buffer.from('abc'), u16(0)]));
    host.connection.receive(
      Buffer.concat([HELLO, option(3), option(3, Buffer.from('x')), option(5), option(8), go('other'), nameTooLong]),
    );
    const [entry, end, ...rest] = optionReplies(host.take());
    expect([entry, end]).toEqual([`3 2 00000007${Buffer.from('nvme0n1').toString('hex')}`, '3 1 ']);
    expect(rest.map((reply) => reply.split(' ').slice(0, 2).join(' '))).toEqual([
      '3 80000003',
      '5 80000001',
      '8 80000001',
      '7 80000006',
      '7 80000003',
    ]);
    expect(host.closed).toBe(false);
  });

  it('knows EXPORT_NAME, with 124 zeroes for a client that wants them, and hangs up on an unknown name', () => {
    const plain = new TestHost();
    plain.take();
    plain.connection.receive(Buffer.concat([u32(1), option(1, Buffer.from('nvme0n1'))]));
    expect(plain.take()).toEqual(Buffer.concat([SIZE_AND_FLAGS, Buffer.alloc(124)]));
    const unknown = new TestHost();
    unknown.connection.receive(Buffer.concat([HELLO, option(1, Buffer.from('nvme9n1'))]));
    expect(unknown.closed).toBe(true);
  });

  it.each([
    ['unknown flags', u32(7)],
    ['a wrong magic', Buffer.concat([HELLO, Buffer.alloc(16, 0x41)])],
    ['ABORT', Buffer.concat([HELLO, option(2)])],
    ['options without end', Buffer.concat([HELLO, ...Array.from({ length: 65 }, () => option(8))])],
    ['an option of 2 GiB', Buffer.concat([HELLO, option(8).subarray(0, 12), u32(0x8000_0000)])],
  ])('ends with %s', (_what, bytes) => {
    const host = new TestHost();
    host.connection.receive(bytes);
    expect(host.closed).toBe(true);
  });

  it('skips an option that is too big, and says so', () => {
    const host = new TestHost();
    host.take();
    host.connection.receive(Buffer.concat([HELLO, option(7, Buffer.alloc(100_000)), go('')]));
    expect(optionReplies(host.take())[0]).toBe('7 80000009 ');
    expect(host.closed).toBe(false);
  });
});

describe('requests', () => {
  it('come out as the client meant them, and are answered under its cookies in the order in which they end', () => {
    const host = TestHost.ready();
    const data = Buffer.alloc(1024, 7);
    host.connection.receive(
      Buffer.concat([
        request({ command: 0, cookie: 11, offset: 4096, length: 512 }),
        request({ command: 1, cookie: 12, flags: 1, offset: 512, data }),
        request({ command: 3, cookie: 13 }),
        request({ command: 4, cookie: 14, offset: 0, length: 1024 }),
        request({ command: 6, cookie: 15, flags: 2, offset: 0, length: 2048 }),
      ]),
    );
    const block = { kind: 'block', disk: 'nvme0n1', fua: false, data: null };
    expect(host.submitted).toEqual([
      { ...block, op: 'read', offset: 4096, length: 512 },
      { ...block, op: 'write', offset: 512, length: 1024, fua: true, data: new Uint8Array(data) },
      { ...block, op: 'flush', offset: 0, length: 0 },
      { ...block, op: 'trim', offset: 0, length: 1024 },
      { ...block, op: 'zeroes', offset: 0, length: 2048 },
    ]);
    const [read, ...others] = host.answers.splice(0);
    for (const [i, answer] of others.entries())
      answer({ status: [0, -28, -95, -61][i], result: 0, data: Buffer.alloc(0) });
    expect(replies(host.take())).toEqual(['12 0', '13 28', '14 95', '15 5']);
    read({ status: 0, result: 0, data: Buffer.alloc(512, 3) });
    expect(host.take()).toEqual(Buffer.concat([u32(0x67446698), u32(0), u64(11), Buffer.alloc(512, 3)]));
  });

  it.each([
    ['an unknown command', { command: 9 }, 22],
    ['an unknown flag', { command: 0, flags: 4, length: 512 }, 22],
    ['no length', { command: 0 }, 22],
    ['a read beyond the end', { command: 0, offset: 1 << 20, length: 512 }, 22],
    ['a write beyond the end', { command: 1, offset: (1 << 20) - 512, data: Buffer.alloc(1024) }, 28],
    ['an offset beyond all numbers', { command: 0, offset: 0xffff_ffff_ffff_ffffn, length: 512 }, 22],
    ['a read longer than a request may be', { command: 0, length: 0xffff_ffff }, 22],
    ['a flush with a range', { command: 3, offset: 512, length: 512 }, 22],
  ])('with %s are refused, and the client goes on', (_what, fields, error) => {
    const host = TestHost.ready();
    host.connection.receive(Buffer.concat([request(fields), request({ command: 3, cookie: 2 })]));
    expect(replies(host.take())).toEqual([`1 ${error}`]);
    expect(host.submitted.map(({ kind }) => kind)).toEqual(['block']);
  });

  it.each([
    ['a wrong magic', Buffer.concat([u32(1), Buffer.alloc(24)])],
    ['a payload longer than a request may be', request({ command: 1, length: (1 << 25) + 512 })],
  ])('with %s end the connection', (_what, bytes) => {
    const host = TestHost.ready();
    host.connection.receive(bytes);
    expect(host.closed).toBe(true);
  });

  it('are answered before the connection ends, when the client says good-bye', () => {
    const host = TestHost.ready();
    host.connection.receive(Buffer.concat([request({ command: 3 }), request({ command: 2 })]));
    expect(host.closed).toBe(false);
    host.answer();
    expect([replies(host.take()), host.closed]).toEqual([['1 0'], true]);
  });

  it('wait while 128 of a client are in flight, or it does not fetch its replies', () => {
    const host = TestHost.ready();
    host.connection.receive(Buffer.concat(Array.from({ length: 200 }, (_, i) => request({ command: 3, cookie: i }))));
    expect([host.submitted.length, host.connection.full]).toEqual([128, true]);
    host.answer();
    expect(host.submitted).toHaveLength(129);
    host.congested = true;
    host.answer();
    expect(host.submitted).toHaveLength(129);
    host.congested = false;
    host.connection.resume();
    expect(host.submitted).toHaveLength(130);
  });
});

describe('bytes of a client', () => {
  const wellFormed = Buffer.concat([
    HELLO,
    option(3),
    go('nvme0n1', 6, [3]),
    option(8),
    go('nvme0n1'),
    request({ command: 1, cookie: 5, offset: 512, data: Buffer.alloc(512, 9) }),
    request({ command: 0, cookie: 6, offset: 512, length: 512 }),
    request({ command: 2 }),
  ]);
  const outcome = (pieces: readonly Buffer[]): string => {
    const host = new TestHost();
    for (const piece of pieces) host.connection.receive(piece);
    host.answer();
    host.answer(0, Buffer.alloc(512, 9));
    return `${host.sent.toString('hex')} ${JSON.stringify(host.submitted)} ${host.closed}`;
  };

  it('mean the same however they are cut into pieces', () => {
    const whole = outcome([wellFormed]);
    for (let at = 1; at < wellFormed.length; at += 3) {
      expect(outcome([wellFormed.subarray(0, at), wellFormed.subarray(at)])).toBe(whole);
    }
    expect(outcome(Array.from(wellFormed, (byte) => Buffer.of(byte)))).toBe(whole);
  });

  it('that are hostile never break the server: it answers, waits or hangs up', () => {
    let seed = 12345;
    const below = (n: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % n;
    };
    let closed = 0;
    for (let round = 0; round < 1500; round++) {
      const bytes = Buffer.from(wellFormed);
      for (let i = below(6); i >= 0; i--) bytes[below(bytes.length)] = below(256);
      const host = new TestHost((own) => new NbdConnection([EXPORT], own));
      for (let at = 0; at < bytes.length;) {
        const n = 1 + below(200);
        host.connection.receive(bytes.subarray(at, at + n));
        at += n;
      }
      for (const answer of host.answers.splice(0)) answer({ status: 0, result: 0, data: Buffer.alloc(0) });
      for (const asked of host.submitted) {
        if (asked.kind !== 'block') throw new Error('an NBD client asked for no block');
        expect(asked.offset + asked.length).toBeLessThanOrEqual(EXPORT.size);
      }
      if (host.closed) closed++;
    }
    expect(closed).toBeGreaterThan(250);
  });
});
