/**
 * Scenarios written by hand: one operation after the other, on one line or many.
 *
 * Two notations may be mixed, also within one operation:
 *
 *     mmap A anon 4; pin b A 0 1; fork C1; C1: w A 0 7
 *     P mmap r=A kind=anon n=4
 *
 * the short one, whose arguments have an order, and that of the recorder's scripts (`name=value`), whose lines
 * `scenario NAME TOPIC` and `end` are understood as well. Steps are parted by `;` or by the end of a line, `#` begins a
 * remark. What is wrong is told with its place: nothing is guessed and nothing skipped.
 */
import { UsageError } from '@pincushion/sim';
import { nearestName } from '@pincushion/driver';
import type { OperationArguments } from '../recording';
import { ARGUMENTS, FILE_KINDS, OPERATIONS, argumentsOf, signature } from './operation-table';
import type { OperationRule } from './operation-table';

export interface ScriptStep {
  readonly by: string;
  readonly op: string;
  readonly a: OperationArguments;
}

export interface Script {
  readonly name: string;
  readonly topic: string;
  readonly steps: readonly ScriptStep[];
}

/** What a scenario without a name is called. */
const DEFAULT_NAME = 'asked';
/** Pages of the gigabyte that a region lies in. */
const PAGES_MOST = 1 << 18;
/** Steps of one scenario, and regions, as the recorder takes them. */
const STEPS_MOST = 1000;

interface Word {
  readonly text: string;
  /** Place in the text, from 0. */
  readonly at: number;
}

/** Names that steps so far have made, for telling a misspelt one. */
class Names {
  readonly processes = new Set(['P']);
  readonly regions = new Set<string>();
  readonly files = new Set<string>();
  readonly ids = new Set<string>();
}

/**
 * Parses one scenario. `where` names the text in messages, for example a file. Throws `UsageError` SCENARIO_INVALID that
 * says what is wrong, in which step, line and column, and what is nearest to a misspelt word.
 */
export function parseScript(text: string, where: string): Script {
  return new ScriptParser(text, where).parse();
}

class ScriptParser {
  private readonly names = new Names();
  private readonly steps: ScriptStep[] = [];
  private name = DEFAULT_NAME;
  private topic = DEFAULT_NAME;
  private isEnded = false;

  constructor(
    private readonly text: string,
    private readonly where: string,
  ) {}

  parse(): Script {
    for (const words of statements(this.text)) this.statement(words);
    if (this.steps.length === 0)
      throw this.wrong('there is no step', null, { expected: 'operations, as in mmap A anon 1; w A 0 7' });
    return { name: this.name, topic: this.topic, steps: this.steps };
  }

  private statement(words: readonly Word[]): void {
    const [first] = words;
    if (first.text === 'scenario') {
      this.heading(words);
      return;
    }
    if (this.isEnded) throw this.wrong(`"${first.text}" comes after the end of the scenario`, first);
    if (first.text === 'end' && words.length === 1) {
      this.isEnded = true;
      return;
    }
    if (this.steps.length === STEPS_MOST) throw this.wrong(`there are more than ${STEPS_MOST} steps`, first);
    const [by, rest] = this.actor(words);
    const [operation, ...given] = rest;
    const rule = this.rule(operation);
    const a = this.arguments(operation, rule, given);
    this.learn(operation, a, rest);
    this.steps.push({ by, op: operation.text, a });
  }

  private heading(words: readonly Word[]): void {
    if (this.steps.length > 0 || this.isEnded)
      throw this.wrong('a second scenario begins', words[0], { expected: 'one scenario' });
    this.name = words[1]?.text ?? DEFAULT_NAME;
    this.topic = words[2]?.text ?? this.name.split('/')[0];
  }

  /** `C1: w …`, `C1 w …` or `w …`. */
  private actor(words: readonly Word[]): [string, readonly Word[]] {
    const [first, second] = words;
    const isMarked = first.text.endsWith(':');
    const isName = !Object.hasOwn(OPERATIONS, first.text) && this.names.processes.has(first.text);
    const looksLikeName = /^(?:P|C\d+)$/.test(first.text);
    if (!isMarked && !isName && !looksLikeName) return ['P', words];
    const name = isMarked ? first.text.slice(0, -1) : first.text;
    if (!this.names.processes.has(name)) throw this.unknown('process', name, [...this.names.processes], first);
    if ((second as Word | undefined) === undefined)
      throw this.wrong(`${name} does nothing`, first, { expected: 'an operation after it' });
    return [name, words.slice(1)];
  }

  private rule(word: Word): OperationRule {
    if (Object.hasOwn(OPERATIONS, word.text)) return OPERATIONS[word.text];
    throw this.unknown('operation', word.text, Object.keys(OPERATIONS), word, false);
  }

  private arguments(operation: Word, rule: OperationRule, words: readonly Word[]): OperationArguments {
    const given = new Map<string, Word>();
    const bare: Word[] = [];
    const known = argumentsOf(rule);
    for (const word of words) {
      const equals = word.text.indexOf('=');
      if (equals < 0) {
        bare.push(word);
        continue;
      }
      const name = word.text.slice(0, equals);
      if (!known.includes(name)) throw this.unknownArgument(operation, name, known, word);
      if (given.has(name)) throw this.wrong(`${operation.text} is given ${name} twice`, word);
      given.set(name, { text: word.text.slice(equals + 1), at: word.at + equals + 1 });
    }
    for (const [name, word] of this.inOrder(operation, rule, bare, given)) given.set(name, word);
    const missing = rule.needs.find((name) => !given.has(name));
    if (missing !== undefined) throw this.missing(operation, missing);
    const a: Record<string, string | number> = {};
    for (const name of known) {
      const word = given.get(name);
      if (word !== undefined) a[name] = this.value(operation, name, word);
    }
    if (operation.text === 'mmap' && FILE_KINDS.includes(String(a['kind'])) !== 'f' in a) {
      if (!('f' in a)) throw this.missing(operation, 'f');
      throw this.wrong(`memory of kind ${a['kind']} has no file`, given.get('f') ?? operation);
    }
    return a;
  }

  /** Gives the words without names the arguments that are meant. */
  private inOrder(
    operation: Word,
    rule: OperationRule,
    bare: readonly Word[],
    given: ReadonlyMap<string, Word>,
  ): [string, Word][] {
    if (bare.length === 0) return [];
    const forms = rule.forms.map((form) => form.filter((name) => !given.has(name)));
    const fitting = forms.filter((form) => form.length === bare.length);
    const form = fitting.find((each) => each.every((name, k) => looksLike(name, bare[k].text))) ?? fitting.at(0);
    if (form !== undefined) return form.map((name, k) => [name, bare[k]]);
    const longest = forms.reduce((best, each) => Math.max(best, each.length), 0);
    const shortest = forms.reduce((best, each) => Math.min(best, each.length), longest);
    if (bare.length > longest) {
      throw this.wrong(`${operation.text} has nothing to do with "${bare[longest].text}"`, bare[longest], {
        expected: signature(operation.text),
      });
    }
    if (bare.length < shortest) {
      const missing = (forms.find((each) => each.length === shortest) ?? [])[bare.length];
      throw this.missing(operation, missing);
    }
    throw this.wrong(`${operation.text} is not written with ${bare.length} arguments`, operation, {
      expected: signature(operation.text),
    });
  }

  private value(operation: Word, name: string, word: Word): string | number {
    const { kind, meaning, words } = ARGUMENTS[name];
    const { text } = word;
    if (kind === 'name') {
      if (/^[A-Za-z]\w{0,14}$/.test(text)) return text;
      throw this.wrong(`"${text}" is no name for ${name} of ${operation.text} (${meaning})`, word, {
        expected: 'a letter, then up to 14 letters or digits',
      });
    }
    if (kind === 'word') {
      const wanted = (words ?? []).find((each) => each.toLowerCase() === text.toLowerCase());
      if (wanted !== undefined) return wanted;
      throw this.unknown(meaning, text, words ?? [], word);
    }
    const [least, most] = LIMITS[kind];
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw this.wrong(`"${text}" cannot be ${name} of ${operation.text} (${meaning})`, word, {
      expected: `a whole number from ${least} to ${most}`,
    });
  }

  /** Names that the step makes, and a refusal of names that nobody has made. */
  private learn({ text: op, at }: Word, a: OperationArguments, words: readonly Word[]): void {
    const { names } = this;
    const wordOf = (name: string): Word =>
      words.find(({ text }) => text === String(a[name]) || text === `${name}=${a[name]}`) ?? { text: op, at };
    const demand = (what: string, name: string, known: ReadonlySet<string>): void => {
      if (!(name in a) || known.has(String(a[name]))) return;
      throw this.unknown(what, String(a[name]), [...known], wordOf(name));
    };
    if (op === 'fork') {
      if (names.processes.has(String(a['c']))) throw this.wrong(`there is a process ${a['c']} already`, wordOf('c'));
      names.processes.add(String(a['c']));
    }
    demand('process', 't', names.processes);
    if (op === 'file') names.files.add(String(a['f']));
    else demand('file', 'f', names.files);
    if (op === 'mmap') names.regions.add(String(a['r']));
    else demand('region', 'r', names.regions);
    if (op === 'mremap') names.regions.add(String(a['to']));
    if (['pin', 'dmain', 'dmaout', 'vmsplice'].includes(op)) names.ids.add(String(a['id']));
    else demand('buffer, transfer or pipe', 'id', names.ids);
  }

  // ---- errors ----------------------------------------------------------------------------------------------------------

  private missing(operation: Word, name: string): UsageError {
    return this.wrong(`${operation.text} lacks ${name} (${ARGUMENTS[name].meaning})`, operation, {
      expected: signature(operation.text),
    });
  }

  private unknownArgument(operation: Word, name: string, known: readonly string[], word: Word): UsageError {
    const hint = nearestName(name, known);
    return this.wrong(`${operation.text} has no argument "${name}"`, word, {
      expected: signature(operation.text),
      ...(hint === null ? {} : { hint }),
    });
  }

  private unknown(what: string, name: string, known: readonly string[], word: Word, isListed = true): UsageError {
    const hint = nearestName(name, known);
    const list = known.length === 0 ? 'one that was made before' : `one of ${known.join(', ')}`;
    return this.wrong(`there is no ${what} "${name}"`, word, {
      ...(isListed ? { expected: list } : {}),
      ...(hint === null ? {} : { hint }),
    });
  }

  /** With the step, the line, the column, and the words there. */
  private wrong(what: string, word: Word | null, facts: { expected?: string; hint?: string } = {}): UsageError {
    if (word === null) return new UsageError('SCENARIO_INVALID', `${this.where}: ${what}`, facts);
    const before = this.text.slice(0, word.at).split('\n');
    const place = `${this.where}:${before.length}:${before[before.length - 1].length + 1}`;
    return new UsageError('SCENARIO_INVALID', `${place}: step ${this.steps.length + 1}: ${what}`, facts);
  }
}

const LIMITS: Readonly<Record<'page' | 'count' | 'byte' | 'number' | 'switch', readonly [number, number]>> = {
  page: [0, PAGES_MOST - 1],
  count: [0, PAGES_MOST],
  byte: [0, 255],
  number: [0, 2 ** 31 - 1],
  switch: [0, 1],
};

/** Whether a word without a name can be meant as that argument: numbers are pages, words are names. */
function looksLike(name: string, text: string): boolean {
  const { kind, words } = ARGUMENTS[name];
  if (kind === 'name') return !/^\d/.test(text);
  if (kind === 'word') return words?.some((word) => word.toLowerCase() === text.toLowerCase()) === true;
  return /^\d+$/.test(text);
}

/** The words of each step. */
function* statements(text: string): Generator<readonly Word[], undefined> {
  const words: Word[] = [];
  const pattern = /#[^\n]*|[;\n]|[^\s;#]+/g;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const [found] = match;
    if (found.startsWith('#')) continue;
    if (found !== ';' && found !== '\n') {
      words.push({ text: found, at: match.index });
      continue;
    }
    if (words.length > 0) yield words.splice(0);
  }
  if (words.length > 0) yield words;
}

/** One step as the recorder reads it: `P pin id=b r=A i=0 n=1`. */
function stepText({ by, op, a }: ScriptStep): string {
  return [by, op, ...Object.entries(a).map(([name, value]) => `${name}=${value}`)].join(' ');
}

/** The scenario in the form of the recorder's scripts. */
export function scriptText({ name, topic, steps }: Script): string {
  return `${[`scenario ${name} ${topic}`, ...steps.map(stepText), 'end'].join('\n')}\n`;
}
