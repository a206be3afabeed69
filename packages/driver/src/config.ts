/**
 * Checks what a user wrote against a zod schema, and says what is wrong so that it can be put right: the path, the value,
 * what is allowed there, and the nearest known name. Used for driver and hardware configurations and for machine files.
 */
import type { ErrorCode } from '@pincushion/sim';
import { UsageError } from '@pincushion/sim';
import type { z } from 'zod';
import { nearestName } from './nearest-name';

/** What the input is, for the message. */
export interface ConfigSubject {
  readonly code: ErrorCode;
  /** Put before each path: `config`, `machine.yaml`. */
  readonly where: string;
  readonly device?: string;
}

/** The parsed configuration with defaults. Throws `UsageError` naming the first problem and counting the others. */
export function parseConfig<S extends z.ZodType>(schema: S, input: unknown, subject: ConfigSubject): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => describeIssue(schema, input, issue));
  const [first] = problems;
  const more = problems.length - 1;
  const summary = `${subject.where}${first.path === '' ? '' : separator(subject.where) + first.path} ${first.problem}`;
  throw new UsageError(subject.code, more === 0 ? summary : `${summary}, and ${more} more`, {
    ...(subject.device === undefined ? {} : { device: subject.device }),
    ...(first.expected === undefined ? {} : { expected: first.expected }),
    actual: first.actual,
    ...(first.hint === undefined ? {} : { hint: first.hint }),
  });
}

interface Problem {
  /** `devices[0].config.queueDepth`; empty for the whole. */
  readonly path: string;
  readonly problem: string;
  readonly expected?: string;
  readonly actual: string;
  readonly hint?: string;
}

type Issue = z.core.$ZodIssue;

function describeIssue(schema: z.ZodType, input: unknown, issue: Issue): Problem {
  const path = pathText(issue.path);
  const value = show(valueAt(input, issue.path));
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = namesAt(schema, issue.path);
      const [key] = issue.keys;
      const nearest = nearestName(key, known);
      return {
        path: pathText([...issue.path, key]),
        problem: 'is not known',
        ...(known.length === 0 ? {} : { expected: `one of ${known.join(', ')}` }),
        actual: key,
        ...(nearest === null ? {} : { hint: nearest }),
      };
    }
    case 'invalid_type':
      if (valueAt(input, issue.path) === undefined) {
        return { path, problem: 'is missing', expected: article(issue.expected), actual: 'nothing' };
      }
      return { path, problem: 'has the wrong type', expected: article(issue.expected), actual: value };
    case 'invalid_value': {
      const nearest = nearestName(
        String(valueAt(input, issue.path)),
        issue.values.map((allowed) => String(allowed)),
      );
      return {
        path,
        problem: 'has an unknown value',
        expected: `one of ${issue.values.map((allowed) => show(allowed)).join(', ')}`,
        actual: value,
        ...(nearest === null ? {} : { hint: show(nearest) }),
      };
    }
    case 'too_small':
      return {
        path,
        problem: 'is too small',
        expected: `${issue.inclusive === false ? 'more than' : 'at least'} ${String(issue.minimum)}${unit(issue.origin)}`,
        actual: value,
      };
    case 'too_big':
      return {
        path,
        problem: 'is too big',
        expected: `${issue.inclusive === false ? 'less than' : 'at most'} ${String(issue.maximum)}${unit(issue.origin)}`,
        actual: value,
      };
    case 'not_multiple_of':
      return { path, problem: 'is not allowed', expected: `a multiple of ${String(issue.divisor)}`, actual: value };
    case 'invalid_union':
      return { path, problem: 'is not allowed', expected: alternatives(schema, input, issue), actual: value };
    default:
      return { path, problem: 'is not allowed', expected: issue.message, actual: value };
  }
}

/** What a union allows: the expectations of its members, each once. */
function alternatives(schema: z.ZodType, input: unknown, issue: z.core.$ZodIssueInvalidUnion): string {
  const expected = issue.errors.flatMap((issues) =>
    issues.slice(0, 1).map((inner) => {
      if (inner.code === 'invalid_value') return inner.values.map((allowed) => show(allowed)).join(' or ');
      return describeIssue(schema, input, { ...inner, path: [...issue.path, ...inner.path] }).expected ?? inner.message;
    }),
  );
  return [...new Set(expected)].join(' or ');
}

/** The member names a schema knows at a path. */
function namesAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let at: unknown = unwrap(schema);
  for (const key of path) {
    const def = (at as z.core.$ZodTypes)._zod.def;
    if (def.type === 'object') at = def.shape[String(key)];
    else if (def.type === 'array') at = def.element;
    else if (def.type === 'record') at = def.valueType;
    else return [];
    if (at === undefined) return [];
    at = unwrap(at);
  }
  const def = (at as z.core.$ZodTypes)._zod.def;
  return def.type === 'object' ? Object.keys(def.shape) : [];
}

/** What is inside defaults, optionals and transformations. */
function unwrap(schema: unknown): unknown {
  let at = schema;
  for (;;) {
    const def = (at as z.core.$ZodTypes)._zod.def;
    switch (def.type) {
      case 'default':
      case 'prefault':
      case 'optional':
      case 'nullable':
      case 'readonly':
      case 'catch':
        at = def.innerType;
        break;
      case 'pipe':
        at = def.in;
        break;
      default:
        return at;
    }
  }
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let at = input;
  for (const key of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}

function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text;
}

function separator(where: string): string {
  return /^\w+$/.test(where) ? '.' : ': ';
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = typeof value === 'bigint' || typeof value === 'function' ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function article(type: string): string {
  if (type === 'int') return 'a whole number';
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

function unit(origin: string): string {
  if (origin === 'string') return ' characters';
  return origin === 'array' ? ' entries' : '';
}
