import { TraceExport, WorkloadRun, readWorkload } from '../src/index';
import type { TraceFormat } from '../src/index';
import { TraceEventWriter } from '../src/trace-event-writer';
import type { TestMachineOptions } from './memory-disk';
import { bootMachine } from './memory-disk';

interface TraceEvent {
  readonly ph: string;
  readonly name?: string;
  readonly cat?: string;
  readonly ts?: number;
  readonly pid: number;
  readonly tid: number;
  readonly id?: number;
  readonly args?: Record<string, number | string>;
}

const JOB = '[j]\nrw=randrw\nbs=4k,128k\nsize=1m\nio_size=2m\niodepth=4\nfsync=4\n';

/** Runs a job while it is traced; the file as text. */
function traced(format: TraceFormat, options: TestMachineOptions = {}, job = JOB): string {
  const machine = bootMachine(options);
  const chunks: string[] = [];
  const exported = new TraceExport(machine, {
    format,
    sink: (chunk) => {
      chunks.push(chunk);
    },
  });
  new WorkloadRun(machine, readWorkload('my.fio', Buffer.from(job))).finish();
  exported.close();
  return chunks.join('');
}

function events(text: string): TraceEvent[] {
  return (JSON.parse(text) as { traceEvents: TraceEvent[] }).traceEvents;
}

/** Names of tracks by `pid/tid`, and of groups by `pid`. */
function names(list: readonly TraceEvent[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const event of list) {
    if (event.ph !== 'M' || event.args === undefined) continue;
    if (event.name === 'thread_name') found.set(`${event.pid}/${event.tid}`, String(event.args['name']));
    if (event.name === 'process_name') found.set(String(event.pid), String(event.args['name']));
  }
  return found;
}

/** The slice that is open on its track at each flow step, by flow id, in the order of the file. */
function flowSteps(list: readonly TraceEvent[]): Map<number, { phase: string; slice: string; track: string }[]> {
  const open = new Map<string, string[]>();
  const track = names(list);
  const flows = new Map<number, { phase: string; slice: string; track: string }[]>();
  for (const event of list) {
    const key = `${event.pid}/${event.tid}`;
    const stack = open.get(key) ?? [];
    open.set(key, stack);
    if (event.ph === 'B') stack.push(event.name ?? '');
    if (event.ph === 'E') stack.pop();
    if (event.id !== undefined && 'stf'.includes(event.ph)) {
      const steps = flows.get(event.id) ?? [];
      steps.push({ phase: event.ph, slice: stack.at(-1) ?? 'none', track: track.get(key) ?? 'unnamed' });
      flows.set(event.id, steps);
    }
  }
  return flows;
}

describe('TraceExport', () => {
  const list = events(traced('json'));

  it('ends every slice on its own track, in the order of time', () => {
    const depth = new Map<string, number>();
    const wrong: TraceEvent[] = [];
    let last = 0;
    for (const event of list) {
      if (event.ts === undefined) continue;
      const key = `${event.pid}/${event.tid}`;
      const change = event.ph === 'B' ? 1 : event.ph === 'E' ? -1 : 0;
      const now = (depth.get(key) ?? 0) + change;
      if (event.ts < last || now < 0) wrong.push(event);
      last = event.ts;
      depth.set(key, now);
    }
    expect(wrong).toEqual([]);
    expect([...depth.values()].every((open) => open === 0)).toBe(true);
  });

  it('names every track it uses: contexts of CPUs and devices', () => {
    const named = names(list);
    expect([...named.values()]).toEqual(
      expect.arrayContaining([
        'cpu0 task',
        'cpu0 softirq',
        'cpu1 hardirq',
        'devices',
        'disk0',
        'pins',
        'I/O',
        'counters',
      ]),
    );
    const unnamed = list.filter(
      (event) => !named.has(event.ph === 'B' ? `${event.pid}/${event.tid}` : String(event.pid)),
    );
    expect(unnamed).toEqual([]);
  });

  it.each(['pin', 'bio'])('begins and ends each %s bar once', (category) => {
    const bars = list.filter((event) => event.cat === category);
    const ids = bars.filter((event) => event.ph === 'b').map((event) => event.id);
    const ended = bars.filter((event) => event.ph === 'e').map((event) => event.id);
    expect(ids.length).toBeGreaterThan(20);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ended].sort()).toEqual([...ids].sort());
  });

  it('leads a flow from pin over submit, map, DMA and the interrupt to the release', () => {
    const flows = [...flowSteps(list).values()];
    expect(flows.length).toBeGreaterThan(20);
    for (const steps of flows) {
      expect(steps.map((step) => step.phase).join('')).toMatch(/^st*f$/);
      expect(steps.every((step) => step.slice !== 'none')).toBe(true);
    }
    const writes = flows.filter((steps) => steps.some((step) => step.slice === 'DMA read'));
    expect(writes.length).toBeGreaterThan(5);
    for (const steps of writes) {
      const slices = steps.map((step) => step.slice);
      expect(slices.slice(0, 4)).toEqual(['pin', 'submit', 'map', 'DMA read']);
      expect(slices.slice(4).sort()).toEqual(['complete', 'unmap', 'unpin']);
      expect(slices.at(-1)).toBe('unpin');
      expect(steps.find((step) => step.slice === 'DMA read')?.track).toBe('disk0');
      expect(steps.find((step) => step.slice === 'complete')?.track).toMatch(/^cpu\d hardirq$/);
    }
  });

  it('counts pinned pages, mapped pages and bios in flight down to zero', () => {
    for (const counter of ['pinned pages', 'mapped pages', 'bios in flight']) {
      const values = list
        .filter((event) => event.ph === 'C' && event.name === counter)
        .map((event) => event.args?.['value']);
      expect(values.length).toBeGreaterThan(20);
      expect(Math.max(...values.map(Number))).toBeGreaterThan(0);
      expect(values.at(-1)).toBe(0);
    }
  });

  it('writes the same events as lines', () => {
    const lines = traced('jsonl').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as TraceEvent)).toEqual(list);
  });

  it('writes the same file again for the same seed', () => {
    expect(traced('json')).toBe(traced('json'));
  });

  it('completes the file when I/Os never end', () => {
    const cut = events(traced('json', { model: { misdeed: 'forget' } }, '[j]\nbs=4k\nsize=16k\niodepth=4\n'));
    const begun = cut.filter((event) => event.ph === 'b').length;
    expect(begun).toBeGreaterThan(0);
    expect(cut.filter((event) => event.ph === 'e').length).toBe(begun);
    for (const steps of flowSteps(cut).values()) expect(steps.map((step) => step.phase).join('')).toMatch(/^st*f$/);
  });
});

describe('TraceEventWriter', () => {
  it('writes every nanosecond exactly, in pieces as they come', () => {
    const chunks: string[] = [];
    const writer = new TraceEventWriter('json', (chunk) => {
      chunks.push(chunk);
    });
    for (let i = 0; i < 5000; i++) writer.counter(1_000_000_000_000_001 + i, 1, 'n', i);
    expect(chunks.length).toBeGreaterThan(3);
    writer.close();
    const text = chunks.join('');
    expect(text).toContain('"ts":1000000000000.001,');
    expect(events(text).length).toBe(5000);
    expect(writer.count).toBe(5000);
  });

  it('writes an empty file that can be read', () => {
    const chunks: string[] = [];
    new TraceEventWriter('json', (chunk) => {
      chunks.push(chunk);
    }).close();
    expect(events(chunks.join(''))).toEqual([]);
  });
});
