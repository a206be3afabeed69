/**
 * A transcript: what a reference NVMe controller answered to register accesses and commands, with no guest software.
 *
 * A document has the controller's options, its namespaces, where its memory lies on the bus, and steps in order. The shape
 * of the frame and of each step is checked here, so that the replay can trust it. Fields that are only remarks are kept out.
 */
import { invalid, isRecord, parseJson } from '../recording';

/** One completion, decoded. */
export interface Completion {
  /** Dword 0, as hexadecimal text. */
  readonly dw0: string;
  readonly sqhd?: number;
  readonly sqid: number;
  readonly cid: number;
  /** Phase bit. */
  readonly p?: number;
  /** Status code, as hexadecimal text, and status code type. */
  readonly sc: string;
  readonly sct: number;
  readonly crd: number;
  readonly more: number;
  readonly dnr: number;
}

/**
 * How binding a step is. `spec`: the specification fixes the outcome. `choice`: it leaves room, and a difference must be a
 * documented one. `quirk`: the reference leaves the specification; `spec` is then what the specification asks for.
 */
export type Basis = 'spec' | 'choice' | 'quirk';

/** Content of memory, as a step gives it: bytes, a pattern, one byte for all, or a digest. */
export interface Content {
  readonly hex?: string;
  readonly lin?: readonly [number, number];
  readonly byte?: number;
  readonly sha256?: string;
}

/** Of every step that is compared. */
interface Compared {
  readonly basis: Basis;
  /** What the step is about, for reports; may be empty. */
  readonly name: string;
}

export type TranscriptStep =
  | ({
      readonly t: 'rr';
      readonly off: number;
      readonly w: Width;
      readonly v: bigint;
      readonly mask: bigint;
    } & Compared)
  | { readonly t: 'rw'; readonly off: number; readonly w: Width; readonly v: bigint }
  | { readonly t: 'mw'; readonly addr: number; readonly content: Content }
  | { readonly t: 'fill'; readonly addr: number; readonly byte: number; readonly n: number }
  | ({ readonly t: 'mr'; readonly addr: number; readonly n: number; readonly content: Content } & Compared)
  | { readonly t: 'host_cq'; readonly qid: number; readonly base: number; readonly size: number }
  | { readonly t: 'host_sq'; readonly qid: number; readonly base: number; readonly size: number; readonly cqid: number }
  | ({
      readonly t: 'cmd';
      readonly q: number;
      readonly sqe: string;
      readonly cqe: Completion | null;
      readonly ack: boolean;
      readonly spec: { readonly sct: number; readonly sc: string } | null;
    } & Compared)
  | { readonly t: 'push'; readonly q: number; readonly sqes: readonly string[] }
  | ({ readonly t: 'cqpoll'; readonly cq: number; readonly cqe: Completion | null; readonly ack: boolean } & Compared)
  | ({ readonly t: 'cqset'; readonly cq: number; readonly n: number; readonly cqes: readonly Completion[] } & Compared)
  | { readonly t: 'ackcq'; readonly cq: number; readonly head: number }
  | { readonly t: 'inject'; readonly kind: string; readonly v: number }
  | { readonly t: 'note' };

export type Width = 1 | 2 | 4 | 8;

/** A namespace of the reference. */
export interface RecordedNamespace {
  readonly nsid: number;
  /** Bytes of a block. */
  readonly lbs: number;
  readonly size_mib: number;
  /** Rules that make 512-byte sectors fail, in the reference's own notation. */
  readonly blkdebug?: string;
  /** Further options of the namespace, in the reference's notation. */
  readonly extra?: string;
}

export interface Transcript {
  readonly file: string;
  readonly name: string;
  readonly about: string;
  readonly reference: string;
  /** Options of the controller, in the reference's notation. */
  readonly options: string;
  readonly namespaces: readonly RecordedNamespace[];
  readonly pmrMiB: number;
  /** Bus addresses of the memory behind the registers (CMB, PMR), and the end of main memory, which begins at 0. */
  readonly bar2: number;
  readonly bar4: number;
  readonly ram: number;
  readonly steps: readonly TranscriptStep[];
}

const STEP_KINDS = 'rr rw mw fill mr host_cq host_sq cmd push cqpoll cqset ackcq inject note';

/** Whether a document looks like a transcript. */
export function looksLikeTranscript(value: unknown): boolean {
  return isRecord(value) && 'steps' in value && 'device' in value && 'map' in value && 'format' in value;
}

/** Throws `UsageError` RECORDING_INVALID that names the step. */
export function parseTranscript(text: string, file: string): Transcript {
  const value = parseJson(text, file, true);
  if (!isRecord(value)) throw invalid(file, 'a transcript is an object');
  const { format, device, map, steps } = value;
  if (format !== 1) throw invalid(file, 'not a transcript of format 1', { expected: '1', actual: String(format) });
  if (!isRecord(device) || !isRecord(map) || !Array.isArray(steps)) {
    throw invalid(file, 'a transcript has "device", "map" and "steps"');
  }
  const { namespaces } = device;
  if (!Array.isArray(namespaces) || !namespaces.every((each) => isRecord(each) && typeof each['nsid'] === 'number')) {
    throw invalid(file, '"device.namespaces" is a list of namespaces');
  }
  const ram = new Fields(map, `${file}: map`);
  return {
    file,
    name: new Fields(value, file).text('name'),
    about: textOr(value['about']),
    reference: textOr(value['reference']),
    options: new Fields(device, `${file}: device`).text('options'),
    namespaces: namespaces as RecordedNamespace[],
    pmrMiB: Number(device['pmr_mb'] ?? 0),
    bar2: Number(ram.hex('bar2')),
    bar4: Number(ram.hex('bar4')),
    ram: ram.number('ram'),
    steps: steps.map((step, k) => parseStep(step, `${file}: step ${k + 1}`)),
  };
}

function parseStep(value: unknown, where: string): TranscriptStep {
  if (!isRecord(value)) throw invalid(where, 'a step is an object');
  const step = new Fields(value, where);
  const compared = { basis: step.basis(), name: textOr(value['name'] ?? value['why']) };
  const t = step.text('t');
  switch (t) {
    case 'rr': {
      const mask = value['mask'] === undefined ? 0xffff_ffff_ffff_ffffn : step.hex('mask');
      return { t, off: Number(step.hex('off')), w: step.width(), v: step.hex('v'), mask, ...compared };
    }
    case 'rw':
      return { t, off: Number(step.hex('off')), w: step.width(), v: step.hex('v') };
    case 'mw':
      return { t, addr: Number(step.hex('addr')), content: step.content() };
    case 'fill':
      return { t, addr: Number(step.hex('addr')), byte: step.number('byte'), n: step.number('n') };
    case 'mr':
      return { t, addr: Number(step.hex('addr')), n: step.number('n'), content: step.content(), ...compared };
    case 'host_cq':
      return { t, qid: step.number('qid'), base: Number(step.hex('base')), size: step.number('size') };
    case 'host_sq': {
      const base = Number(step.hex('base'));
      return { t, qid: step.number('qid'), base, size: step.number('size'), cqid: step.number('cqid') };
    }
    case 'cmd': {
      const spec = isRecord(value['spec']) ? (value['spec'] as { sct: number; sc: string }) : null;
      const ack = value['ack'] !== false;
      return { t, q: step.number('q'), sqe: step.entry(value['sqe']), cqe: step.completion(), ack, spec, ...compared };
    }
    case 'push':
      return { t, q: step.number('q'), sqes: step.list('sqes').map((sqe) => step.entry(sqe)) };
    case 'cqpoll':
      return { t, cq: step.number('cq'), cqe: step.completion(), ack: value['ack'] !== false, ...compared };
    case 'cqset':
      return { t, cq: step.number('cq'), n: step.number('n'), cqes: step.list('cqes') as Completion[], ...compared };
    case 'ackcq':
      return { t, cq: step.number('cq'), head: step.number('head') };
    case 'inject':
      return { t, kind: step.text('kind'), v: step.number('v') };
    case 'note':
      return { t };
    default:
      throw invalid(where, 'unknown kind of step', { expected: STEP_KINDS.replaceAll(' ', ', '), actual: `"${t}"` });
  }
}

/** The fields of an object, each checked when it is asked for. */
class Fields {
  constructor(
    private readonly value: Readonly<Record<string, unknown>>,
    private readonly where: string,
  ) {}

  text(name: string): string {
    const text = this.value[name];
    if (typeof text !== 'string') throw invalid(this.where, `"${name}" is a text`);
    return text;
  }

  number(name: string): number {
    const number = this.value[name];
    if (typeof number !== 'number') throw invalid(this.where, `"${name}" is a number`);
    return number;
  }

  hex(name: string): bigint {
    const text = this.value[name];
    if (typeof text === 'string' && /^0x[0-9a-f]+$/i.test(text)) return BigInt(text);
    throw invalid(this.where, `"${name}" is a hexadecimal number such as "0x1c"`);
  }

  list(name: string): readonly unknown[] {
    const list = this.value[name];
    if (!Array.isArray(list)) throw invalid(this.where, `"${name}" is a list`);
    return list;
  }

  width(): Width {
    const { w } = this.value;
    if (w === 1 || w === 2 || w === 4 || w === 8) return w;
    throw invalid(this.where, '"w" is the width of an access', { expected: '1, 2, 4 or 8', actual: String(w) });
  }

  basis(): Basis {
    const { basis } = this.value;
    if (basis === undefined || basis === 'spec') return 'spec';
    if (basis === 'choice' || basis === 'quirk') return basis;
    throw invalid(this.where, '"basis" says how binding a step is', { expected: 'spec, choice, quirk' });
  }

  /** A submission queue entry: 64 bytes. */
  entry(text: unknown): string {
    if (typeof text === 'string' && /^[0-9a-f]{128}$/i.test(text)) return text;
    throw invalid(this.where, 'a submission queue entry is 64 bytes in hexadecimal');
  }

  completion(): Completion | null {
    const { cqe } = this.value;
    if (cqe === null) return null;
    if (isRecord(cqe) && typeof cqe['sc'] === 'string' && typeof cqe['cid'] === 'number') {
      return cqe as unknown as Completion;
    }
    throw invalid(this.where, '"cqe" is a completion, or null when nothing completes');
  }

  content(): Content {
    const { hex, lin, byte, sha256 } = this.value;
    if (typeof hex === 'string' && /^([0-9a-f]{2})*$/i.test(hex)) return { hex };
    if (Array.isArray(lin) && lin.length === 2) return { lin: [Number(lin[0]), Number(lin[1])] };
    if (typeof byte === 'number') return { byte };
    if (typeof sha256 === 'string') return { sha256 };
    throw invalid(this.where, 'the content of memory is missing', { expected: 'hex, lin, byte or sha256' });
  }
}

function textOr(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
