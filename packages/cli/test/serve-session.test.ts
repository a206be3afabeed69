/** A served machine, its recording, and what `run` makes of it. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FaultPlan, UsageError } from '@pincushion/sim';
import { NodeHostFiles } from '../src/host-files';
import { describeMachine } from '../src/machine-file';
import type { DescribedMachine } from '../src/machine-file';
import { runRecordedSession } from '../src/serve/recorded-session';
import type { BlockRequest, ServedReply, ServedRequest } from '../src/serve/request';
import { ServedMachine } from '../src/serve/served-machine';
import { SessionWriter, isSession, readSession } from '../src/serve/session-file';
import { replaySession } from '../src/serve/session-replay';
import { Serving } from '../src/serve/serving';
import { processTerminal } from '../src/terminal';

const folder = mkdtempSync(join(tmpdir(), 'pincushion-serve-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const DISK = 'nvme0n1';
const KIB = 1024;
const machine = smallMachine();

function smallMachine(): DescribedMachine {
  const path = join(folder, 'small.yaml');
  writeFileSync(
    path,
    "memory: { ram: 64MiB }\ncpus: 2\ndevices:\n  - name: nvme0\n    plugin: '@pincushion/nvme-p2p'\n" +
      '    model: { serial: SERVED1, namespaces: [{ capacity: 16MiB }] }\n',
  );
  return describeMachine(path);
}

function served(faults: string | null = null, controller: string | null = null): ServedMachine {
  const options = { seed: 5, faults: faults === null ? null : FaultPlan.parse(faults), controller };
  return new ServedMachine(machine, options, new NodeHostFiles(folder));
}

const block = (
  op: BlockRequest['op'],
  offset = 0,
  length = 0,
  data: Uint8Array | null = null,
  fua = false,
): BlockRequest => ({
  kind: 'block',
  op,
  disk: DISK,
  offset,
  length,
  fua,
  data,
});
const write = (offset: number, byte: number, length = 4 * KIB): BlockRequest =>
  block('write', offset, length, new Uint8Array(length).fill(byte));
const read = (offset: number, length = 4 * KIB): BlockRequest => block('read', offset, length);

/** Asks, all at once, and waits: the replies in the order of the requests. */
function ask(to: ServedMachine, ...requests: readonly ServedRequest[]): ServedReply[] {
  const ids = requests.map((request) => to.inject(request));
  const replies = new Map<number, ServedReply>();
  while (to.inFlight > 0) for (const { id, reply } of to.advance()) replies.set(id, reply);
  return ids.map((id) => replies.get(id) as ServedReply);
}

/** Findings at the end, by code. */
function endOf(to: ServedMachine): string[] {
  to.shutdown();
  return to.world.findings.all.map(({ code }) => code);
}

const never = { requested: false, turn: () => Promise.resolve() };

describe('a served disk', () => {
  it('keeps what is written, and leaks no page or mapping', () => {
    const to = served();
    const data = Uint8Array.from({ length: 128 * KIB }, (_, i) => (i * 7) % 251);
    const status = ask(to, block('write', 8 * KIB, data.length, data, true), block('flush')).map(
      (reply) => reply.status,
    );
    expect(status).toEqual([0, 0]);
    expect(Buffer.compare(ask(to, read(8 * KIB, data.length))[0].data, data)).toBe(0);
    ask(to, block('zeroes', 8 * KIB, 4 * KIB), block('trim', 64 * KIB, 4 * KIB));
    expect(ask(to, read(8 * KIB, 4 * KIB))[0].data.every((byte) => byte === 0)).toBe(true);
    expect(endOf(to)).toEqual([]);
  });

  it('uses the memory of its program again', () => {
    const to = served();
    const { memory } = to.machine;
    ask(to, write(0, 1), read(0));
    const before = memory.framesFree;
    for (let i = 0; i < 50; i++) ask(to, write(i * 4 * KIB, 1), read(0));
    expect(memory.framesFree).toBe(before);
  });

  it('serves many requests at a time', () => {
    const to = served();
    const writes = Array.from({ length: 64 }, (_, i) => write(i * 4 * KIB, i + 1));
    expect(ask(to, ...writes).every(({ status }) => status === 0)).toBe(true);
    const reads = ask(to, ...writes.map(({ offset }) => read(offset)));
    expect(reads.map(({ data }) => [data[0], data[4095]])).toEqual(writes.map((_, i) => [i + 1, i + 1]));
    expect(endOf(to)).toEqual([]);
  });

  it.each([
    ['not whole blocks', read(100, 512), -22],
    ['a length that is none', read(0, 100), -22],
    ['a read beyond the end', read(16 * KIB * KIB, 512), -22],
    ['a write beyond the end', write(16 * KIB * KIB, 1, 512), -28],
    ['content of another length', block('write', 0, 1024, new Uint8Array(512)), -22],
  ])('refuses %s', (_what, request, errno) => {
    expect(ask(served(), request)[0].status).toBe(errno);
  });

  it('lets no time pass while nothing is in flight', () => {
    const to = served();
    ask(to, write(0, 1));
    const { now } = to.world;
    expect(to.advance()).toEqual([]);
    expect(to.world.now).toBe(now);
  });

  it('is struck by faults as they are armed, and heals when they are disarmed', () => {
    const to = served('io.read@2=EIO');
    const statuses = (n: number): number[] => Array.from({ length: n }, () => ask(to, read(0))[0].status);
    expect(statuses(3)).toEqual([0, -61, 0]);
    ask(to, { kind: 'plan', plan: 'io.read[0..7]@*=EIO' });
    expect([...statuses(1), ask(to, read(8 * KIB))[0].status]).toEqual([-61, 0]);
    ask(to, { kind: 'plan', plan: null });
    expect(statuses(1)).toEqual([0]);
    expect(() => to.inject({ kind: 'plan', plan: 'nonsense' })).toThrow(/FAULT_PLAN_INVALID/);
    expect(endOf(to)).toEqual([]);
  });

  it('answers after a reset of its controller as if nothing had happened', () => {
    const to = served('io@20=reset,io.write@9=stall');
    const writes = Array.from({ length: 32 }, (_, i) => write(i * 4 * KIB, i + 1));
    expect(ask(to, ...writes).every(({ status }) => status === 0)).toBe(true);
    expect(ask(to, ...writes.map(({ offset }) => read(offset))).map(({ data }) => data[7])).toEqual(
      writes.map((_, i) => i + 1),
    );
    expect(endOf(to)).toEqual([]);
  });

  it('answers ENODEV once its device is gone, also the first request for a disk', () => {
    const to = served();
    ask(to, write(0, 1));
    ask(to, { kind: 'plan', plan: `device.nvme0@t=${to.world.now + 100_000}ns=gone` });
    to.advanceTo(to.world.now + 1_000_000);
    const first = served();
    ask(first, { kind: 'plan', plan: 'device.nvme0@t=1ns=gone' });
    first.advanceTo(first.world.now + 1_000_000);
    expect([ask(to, read(0))[0].status, ask(first, read(0))[0].status]).toEqual([-19, -19]);
    expect([...endOf(to), ...endOf(first)]).toEqual([]);
  });

  it('stops only at the end of an instant: a request that comes then comes after all that was due', () => {
    const to = served();
    for (let i = 0; i < 8; i++) to.inject(read(i)); // Refused or not, all come at once.
    while (to.inFlight > 0) {
      to.advance();
      const before = to.world.eventsRun;
      to.world.run({ untilNs: to.world.now });
      expect(to.world.eventsRun).toBe(before);
    }
  });

  it('refuses a plan for a device that is not there, and a controller that is none', () => {
    expect(() => served('device.nvme9@t=1ms=gone')).toThrow(/FAULT_PLAN_INVALID.*nvme9/s);
    expect(() => served(null, 'nvme7')).toThrow(/DEVICE_UNKNOWN.*nvme7/s);
  });
});

describe('what clients wrote', () => {
  const codes = (plan: string | null, ...rounds: readonly (readonly ServedRequest[])[]): string[] => {
    const to = served(plan);
    for (const round of rounds) ask(to, ...round);
    return endOf(to);
  };

  it('is missed when a write was lost or torn, and recognised where it went astray', () => {
    expect(codes('io.write@2=lost', [write(0, 1)], [write(0, 2)], [read(0)], [read(0)])).toEqual(['DATA_LOST']);
    expect(codes('io.write@1=torn:3', [write(0, 1)], [read(0)])).toEqual(['DATA_LOST']);
    const astray = [[write(0, 1)], [write(64 * KIB, 2)], [read(0)]];
    expect(codes('io.write@2=misdirected:-128', ...astray)).toEqual(['DATA_MISPLACED']);
    expect(codes(null, ...astray)).toEqual([]);
  });

  it('may be anything where writes overlap, failed, or were trimmed', () => {
    expect(codes(null, [write(0, 1), write(0, 2)], [read(0)])).toEqual([]);
    expect(codes('io.write@2=partial:1', [write(0, 1)], [write(0, 2)], [read(0)])).toEqual([]);
    expect(codes(null, [write(0, 1)], [block('trim', 0, 4 * KIB)], [read(0)])).toEqual([]);
    expect(codes('io.read@1=misdirected:64', [write(0, 1)], [write(0, 2), read(0)])).toEqual([]);
  });

  it('may be gone after a power cut only if it was not flushed', () => {
    const writes = Array.from({ length: 16 }, (_, i) => write(i * 4 * KIB, 9));
    const reads = writes.map(({ offset }) => read(offset));
    const cut = [read(0)];
    expect(codes('io.read@1=powercut', writes, cut, reads)).toEqual([]);
    expect(codes('io.read@1=powercut', writes, [block('flush')], cut, reads)).toEqual([]);
    const through = writes.map((each) => ({ ...each, fua: true }));
    expect(codes('io.read@1=powercut', through, cut, reads)).toEqual([]);
    expect(codes('io.read@1=powercut,io.flush=lost', writes, [block('flush')], cut, reads)).toContain('DATA_LOST');
  });
});

describe('a served controller', () => {
  const command = (opcode: number, cdw10: number, nsid = 0): Uint8Array => {
    const bytes = Buffer.alloc(64);
    bytes[0] = opcode;
    bytes.writeUInt32LE(nsid, 4);
    bytes.writeUInt32LE(cdw10, 40);
    return bytes;
  };
  const nvme = (isAdmin: boolean, bytes: Uint8Array, wanted: number, data = new Uint8Array(0)): ServedRequest => ({
    kind: 'nvme',
    isAdmin,
    command: bytes,
    data,
    wanted,
  });

  it('answers admin and I/O commands, with data in both directions and lists of pages', () => {
    const to = served(null, 'nvme0');
    const [identity] = ask(to, nvme(true, command(6, 1), 4096));
    expect([identity.status, Buffer.from(identity.data.subarray(4, 24)).toString().trim()]).toEqual([0, 'SERVED1']);
    const data = Uint8Array.from({ length: 64 * KIB }, (_, i) => (i * 13) % 241);
    const [store, load] = [command(1, 5, 1), command(2, 5, 1)];
    for (const each of [store, load]) Buffer.from(each.buffer).writeUInt32LE(127, each.byteOffset + 48);
    expect(ask(to, nvme(false, store, 0, data))[0].status).toBe(0);
    const [got] = ask(to, nvme(false, load, data.length));
    expect([got.status, Buffer.compare(got.data, data)]).toEqual([0, 0]);
    expect(endOf(to)).toEqual([]);
  });

  it('gives the status of what it refuses, and Invalid Field for what its driver refuses', () => {
    const to = served(null, 'nvme0');
    const fused = command(2, 0, 1);
    fused[1] = 1;
    const feature = ask(to, nvme(true, command(10, 7), 0))[0];
    expect(feature.status).toBe(0);
    expect(feature.result & 0xffff).toBeGreaterThan(0);
    const statuses = ask(
      to,
      nvme(true, command(0x7f, 0), 0),
      nvme(false, fused, 512),
      nvme(false, command(2, 0xffff_ffff, 1), 512),
    );
    expect(statuses.map(({ status }) => status & 0x7ff)).toEqual([0x001, 0x002, 0x080]);
    expect(endOf(to)).toEqual([]);
  });
});

describe('a recorded session', () => {
  const PLAN = 'io.read@5=EIO,io.write@7=lost';

  /** Records what a client does whose pauses are not those of the machine. */
  async function recorded(name: string, plan: string | null = PLAN): Promise<string> {
    const path = join(folder, name);
    const serving = new Serving(
      machine,
      { seed: 5, faults: plan === null ? null : FaultPlan.parse(plan), controller: null },
      path,
    );
    const requests: ServedRequest[] = [];
    for (let i = 0; i < 6; i++) {
      requests.push(write(i * 4 * KIB, i + 1), write((i + 32) * 4 * KIB, i + 100));
      if (i % 3 === 0) requests.push({ kind: 'plan', plan: 'io.flush@1=EIO' }, block('flush'));
      requests.push(read(((i + 3) % 6) * 4 * KIB), read((i + 32) * 4 * KIB, 64 * KIB));
    }
    // As a client at depth 4: the next one as soon as one has ended, in the middle of the others.
    const to = serving.served;
    while (requests.length > 0 || to.inFlight > 0) {
      while (to.inFlight < 4 && requests.length > 0) to.inject(requests.shift() as ServedRequest);
      to.advance();
    }
    ask(to, ...Array.from({ length: 6 }, (_, i) => read(i * 4 * KIB)));
    await serving.end();
    await serving.dispose();
    return path;
  }

  it('runs again with the same replies at the same times, and the same findings', async () => {
    const path = await recorded('same.session.jsonl');
    expect(isSession(path)).toBe(true);
    const session = readSession(path);
    const outcome = await replaySession(session, path, never);
    expect(outcome.otherReply).toBeNull();
    expect(outcome.findings).toEqual(session.end.findings);
    expect(outcome.findings.map(({ code }) => code)).toEqual(['DATA_LOST']);
    expect([outcome.requests, outcome.differences]).toEqual([session.asks.length, []]);
    expect([...session.replies.values()].map(({ status }) => status)).toEqual(expect.arrayContaining([-61, -5]));
  });

  it('tells the first reply that is not the recorded one', async () => {
    const path = await recorded('other.session.jsonl', null);
    const session = readSession(path);
    const other = { ...session, head: { ...session.head, faults: 'io.read@3=EIO' } };
    const outcome = await replaySession(other, path, never);
    expect([outcome.otherReply?.recorded?.status, outcome.otherReply?.here.status]).toEqual([0, -61]);
  });

  it('is cut down to the requests that its findings need, and the plan with it', async () => {
    const path = await recorded('long.session.jsonl');
    const said: string[] = [];
    const terminal = { ...processTerminal(), out: (text: string) => void said.push(text) };
    const invocation = { terminal, exitCode: 0, again: null };
    await runRecordedSession(path, { replay: true, replayDir: join(folder, 'cut') }, invocation, never);
    expect(invocation.exitCode).toBe(1);
    expect(said.join('')).toMatch(
      /every reply is the recorded one\nagain, with 2 of \d+ requests: npx pincushion run /,
    );
    const [name] = readdirSync(join(folder, 'cut'));
    const cut = readSession(join(folder, 'cut', name));
    expect(cut.asks.map(({ op }) => op)).toEqual(['write', 'read']);
    expect(cut.head.faults).toBe('io.write@1=lost');
    expect(cut.end.findings.map(({ code }) => code)).toEqual(['DATA_LOST']);
  });

  it('has the JSON document that the manual describes', async () => {
    const path = await recorded('json.session.jsonl', null);
    let said = '';
    const terminal = { ...processTerminal(), out: (text: string) => void (said += text) };
    const invocation = { terminal, exitCode: 0, again: null };
    await runRecordedSession(path, { replay: true, replayDir: folder, json: true }, invocation, never);
    const manual = readFileSync(join(__dirname, '../../../docs/reference/json.md'), 'utf8');
    const [, part] = manual.split('## pincushion run --json of a recorded session');
    const rows = [...part.split('\n## ')[0].matchAll(/^\| `(\w+)(?:\[\])?` /gm)].map(([, name]) => name);
    const document = JSON.parse(said) as Record<string, unknown>;
    expect([invocation.exitCode, document['reproduced'], Object.keys(document)]).toEqual([0, true, rows]);
  });

  it('carries content of any kind as it was', () => {
    const path = join(folder, 'content.session.jsonl');
    const head = { seed: 1, faults: null, controller: null, machine: {}, folder: '', plugins: [], images: [] };
    const writer = new SessionWriter(path);
    writer.begin(head);
    const contents = [
      new Uint8Array(4096),
      new Uint8Array(512).fill(7),
      Buffer.from('pincushion '.repeat(100)),
      noise(4096),
    ];
    for (const [i, data] of contents.entries()) {
      writer.arrived(i, { id: i + 1, request: block('write', 0, data.length, data) });
    }
    writer.finish({ end: 9, findings: [] });
    const { asks } = readSession(path);
    const fields = asks.map((each) => ('data' in each ? Object.keys(each.data ?? {}).sort() : []));
    expect(fields).toEqual([['byte', 'bytes'], ['byte', 'bytes'], ['gzip'], ['base64']]);
  });

  it.each([
    [
      'is cut off in a line',
      (text: string) => text.slice(0, -20),
      /SESSION_INVALID.*line \d+: this is no line of a session/,
    ],
    ['has no end', (text: string) => text.split('\n').slice(0, 3).join('\n'), /SESSION_INVALID.*has no end/],
    ['has another version', (text: string) => text.replace('Session":1', 'Session":2'), /SESSION_INVALID.*line 1/],
    ['has a wrong field', (text: string) => text.replace('"op":"write"', '"op":"erase"'), /SESSION_INVALID.*line \d+/],
    ['goes back in time', (text: string) => text.replace(/("ask":3,"at":)\d+/, '$10'), /SESSION_INVALID.*came before/],
    [
      'goes on after its end',
      (text: string) => `${text}{"end":1,"findings":[]}\n`,
      /SESSION_INVALID.*has ended before/,
    ],
  ])('that %s is refused with its line', async (_what, damage, message) => {
    const path = await recorded('damaged.session.jsonl', null);
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    expect(() => readSession(path)).toThrow(UsageError);
    expect(() => readSession(path)).toThrow(message);
  });

  it('leaves nothing when the machine cannot be served', () => {
    const path = join(folder, 'nothing.session.jsonl');
    const options = { seed: 1, faults: FaultPlan.parse('device.nvme9@t=1ms=gone'), controller: null };
    expect(() => new Serving(machine, options, path)).toThrow(/FAULT_PLAN_INVALID/);
    expect(readdirSync(folder).filter((name) => name.startsWith('nothing'))).toEqual([]);
    expect(isSession(path)).toBe(false);
  });
});

/** Bytes that cannot be compressed. */
function noise(n: number): Uint8Array {
  let x = 1;
  return Uint8Array.from({ length: n }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x >>> 24;
  });
}
