/** What users get wrong, and what they must be told: exit code 2 and a message that says what is wrong, where, and what would be right. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Ended } from './pincushion';
import { temporaryFolder } from './pincushion';

/** Where the command runs. */
export const folder = temporaryFolder();
const TRACE_LINE = '  7,0    1        1     0.000000000 14079  Q  WS 2184 + 8 [python3]\n';

/** Writes an input and gives its name, relative to the folder in which the command runs. */
function input(name: string, content: string | Buffer): string {
  writeFileSync(join(folder, name), content);
  return name;
}

function job(name: string, ...lines: string[]): string {
  return input(`${name}.fio`, ['[job]', ...lines, ''].join('\n'));
}

function trace(name: string, ...lines: string[]): string {
  return input(`${name}.blkparse.txt`, TRACE_LINE + lines.map((line) => line + '\n').join(''));
}

function machine(name: string, text: string): string {
  return input(`${name}.yaml`, text);
}

const binary = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 197 + (i >> 3)) & 0xff));
const compressed = gzipSync(Buffer.from(TRACE_LINE.repeat(5000)));
const smallJob = job('small', 'rw=write', 'bs=4k', 'size=64k');

/** The words of the command line, and what the message must say. */
export const cases: readonly (readonly [string, readonly string[], readonly RegExp[]])[] = [
  ['a missing file', ['run', 'nowhere.fio'], [/FILE_UNREADABLE/, /nowhere\.fio/]],
  ['a folder as workload', ['run', '.'], [/\./]],
  ['a workload of unknown kind', ['run', input('notes.txt', 'buy milk\n')], [/WORKLOAD_INVALID/, /\.fio/]],
  [
    'a truncated gzip',
    ['run', input('cut.blkparse.txt.gz', compressed.subarray(0, compressed.length >> 1))],
    [/TRACE_INVALID/, /cut\.blkparse\.txt\.gz/, /gzip/],
  ],
  ['a binary file as trace', ['run', input('noise.blkparse.txt', binary)], [/TRACE_INVALID/, /noise\.blkparse\.txt/]],
  ['an empty trace', ['run', input('empty.blkparse.txt', '')], [/TRACE_INVALID/, /empty\.blkparse\.txt/]],
  [
    'a trace line with a sector beyond the device',
    ['run', trace('beyond', '  7,0 1 2 0.1 14079 Q WS 999999999999 + 8 [python3]')],
    [/TRACE_INVALID/, /beyond\.blkparse\.txt:2/, /999999999999/],
  ],
  [
    'a negative number in a trace',
    ['run', trace('negative', '  7,0 1 2 0.1 14079 Q WS -8 + 8 [python3]')],
    [/TRACE_INVALID/, /negative\.blkparse\.txt:2/],
  ],
  [
    'an overflowing number in a trace',
    ['run', trace('overflow', '  7,0 1 2 0.1 14079 Q WS 99999999999999999999999 + 8 [python3]')],
    [/TRACE_INVALID/, /overflow\.blkparse\.txt:2/],
  ],
  [
    'an unknown rw mode',
    ['run', job('mode', 'rw=randreed', 'bs=4k', 'size=1m')],
    [/JOB_INVALID/, /mode\.fio:2/, /randread/],
  ],
  ['a block size of 0', ['run', job('zero', 'rw=read', 'bs=0', 'size=1m')], [/JOB_INVALID/, /zero\.fio:3/]],
  [
    'a block size that is no multiple of the sector',
    ['run', job('odd', 'rw=read', 'bs=1000', 'size=1m')],
    [/JOB_INVALID/, /odd\.fio:3/, /512/],
  ],
  [
    'a size larger than the device',
    ['run', job('large', 'rw=read', 'bs=4k', 'size=900t')],
    [/JOB_INVALID/, /large\.fio:4/],
  ],
  [
    'unsupported options with --strict',
    ['run', job('strict', 'rw=read', 'size=4k', 'mem=mmaphuge'), '--strict'],
    [/JOB_INVALID/, /mem/],
  ],
  ['an unknown command', ['rnu', smallJob], [/unknown command 'rnu'/, /Did you mean run\?/]],
  ['an unknown option', ['run', smallJob, '--sede', '3'], [/unknown option '--sede'/, /Did you mean --seed\?/]],
  ['a seed that is no number', ['run', smallJob, '--seed', 'x'], [/--seed/, /whole number/]],
  ['an unknown ledger mode', ['run', smallJob, '--ledger', 'ful'], [/--ledger/, /off, counts, full/]],
  [
    'an unknown way through a file system',
    ['run', smallJob, '--through', 'fs:dirct'],
    [/ARGUMENT_INVALID/, /fs:buffered/, /Try fs:direct/],
  ],
  ['an unknown device', ['run', smallJob, '--device', 'nvme1'], [/nvme1/, /nvme0/]],
  ['no workload', ['run'], [/missing required argument 'workload/]],
  ['an unknown benchmark', ['bench', 'queue.depth23'], [/queue\.depth23/, /queue\.depth32/]],
  ['an unknown demo', ['demo', 'nothing'], [/nothing/]],
  ['an unknown code', ['explain', 'PIN_LEEK'], [/PIN_LEEK/, /PIN_LEAK/]],
  [
    'a trace file in a folder that is not there',
    ['run', smallJob, '--trace', 'nowhere/trace.json'],
    [/FILE_UNWRITABLE/, /nowhere/],
  ],
  [
    'a missing image file',
    [
      'run',
      smallJob,
      '--machine',
      machine(
        'image',
        'devices:\n  - name: nvme0\n    plugin: "@pincushion/nvme-p2p"\n    model: { namespaces: [{ image: nowhere.img }] }\n',
      ),
    ],
    [/(IMAGE|FILE)_UNREADABLE/, /nowhere\.img/],
  ],
  [
    'a folder as image file',
    [
      'run',
      smallJob,
      '--machine',
      machine(
        'folder',
        'devices:\n  - name: nvme0\n    plugin: "@pincushion/nvme-p2p"\n    model: { namespaces: [{ image: . }] }\n',
      ),
    ],
    [/(IMAGE|FILE)_UNREADABLE/, /regular file/],
  ],
  [
    'a machine file with a wrong field',
    ['machine', 'show', machine('field', 'cpu: 4\n')],
    [/MACHINE_INVALID/, /field\.yaml/, /cpus/],
  ],
  [
    'a device setting that does not exist',
    [
      'run',
      smallJob,
      '--machine',
      machine(
        'setting',
        'devices:\n  - name: nvme0\n    plugin: "@pincushion/nvme-p2p"\n    model: { latency: { readNanos: 5 } }\n',
      ),
    ],
    [/readNanos/, /nvme0/, /readNs/],
  ],
  [
    'two devices with one name',
    [
      'machine',
      'show',
      machine(
        'twice',
        'devices:\n  - { name: nvme0, plugin: "@pincushion/nvme-p2p" }\n  - { name: nvme0, plugin: "@pincushion/nvme-p2p" }\n',
      ),
    ],
    [/DEVICE_DUPLICATE|MACHINE_INVALID/, /nvme0/],
  ],
  [
    'a plugin that is not installed',
    ['machine', 'show', machine('plugin', 'devices:\n  - { name: nvme0, plugin: "@pincushion/nvme" }\n')],
    [/PLUGIN_UNKNOWN/, /@pincushion\/nvme-p2p/],
  ],
  [
    'a machine file that is no YAML',
    ['machine', 'show', machine('syntax', 'cpus: [4\n')],
    [/MACHINE_INVALID/, /syntax\.yaml:2/],
  ],
  ['a missing machine file', ['run', smallJob, '--machine', 'nowhere.yaml'], [/FILE_UNREADABLE/, /nowhere\.yaml/]],
  ['a machine file of unknown kind', ['run', smallJob, '--machine', 'small.fio'], [/MACHINE_INVALID/, /\.yaml/]],
  [
    'a workload module that cannot be parsed',
    ['run', input('unparsed.ts', 'export default function* (world: {\n')],
    [/WORKLOAD_INVALID/, /unparsed\.ts:1/],
  ],
  [
    'a workload module that fails while it is loaded',
    ['run', input('broken.ts', 'throw new Error("no milk");\n')],
    [/WORKLOAD_INVALID/, /broken\.ts/, /no milk/],
  ],
];

export function wordsOf(words: readonly string[]): readonly string[] {
  return words[0] === 'run' && !words.includes('--trace') ? [...words, '--trace', 'half.json'] : words;
}

export function complaint(what: string, messages: readonly RegExp[], { code, out, err }: Ended): string {
  const wrong = [
    ...(code === 2 ? [] : [`exit code ${String(code)}`]),
    ...(out === '' ? [] : ['something on stdout']),
    ...(/\n\s+at /.test(err) ? ['a stack'] : []),
    ...messages.filter((message) => !message.test(err)).map((message) => `no ${String(message)}`),
  ];
  return wrong.length === 0 ? '' : `${what}: ${wrong.join(', ')}; it said:\n${out}${err}`;
}
