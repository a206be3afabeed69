/**
 * The name of a new package, and the words made of it: what npm accepts as the name of a new package, narrowed to what can
 * also be the name of a device and the beginning of a class name.
 */
import { isBuiltin } from 'node:module';
import { UsageError } from '@pincushion/sim';

/** npm's limit on the whole name, with the scope. */
const NAME_MAX = 214;
const PART = /^[a-z0-9][a-z0-9._-]*$/;
const BASE = /^[a-z][a-z0-9]*([_-][a-z0-9]+)*$/;
/** npm refuses them. */
const RESERVED: readonly string[] = ['node_modules', 'favicon.ico'];

export interface PackageName {
  /** As npm knows it, with the scope: `@acme/fast-nic`. */
  readonly full: string;
  /** Without the scope: `fast-nic`. */
  readonly base: string;
  /** For the names of classes: `FastNic`. */
  readonly pascal: string;
}

/** Takes a name apart. `taken`: packages that the new one depends on. Throws `UsageError` ARGUMENT_INVALID. */
export function parsePackageName(text: string, taken: readonly string[] = []): PackageName {
  const refuse = (why: string, expected: string, hint?: string): UsageError =>
    new UsageError('ARGUMENT_INVALID', `"${text}" cannot be the name of a package: ${why}`, {
      expected,
      actual: text,
      ...(hint === undefined ? {} : { hint }),
    });
  const [, scope, base] = /^(?:@([^/]*)\/)?(.*)$/s.exec(text) ?? ['', undefined, text];
  const hint = suggestion(base);
  if (text.length > NAME_MAX) throw refuse(`it has ${text.length} characters`, `at most ${NAME_MAX} characters`);
  if (scope !== undefined && !PART.test(scope)) throw refuse('the scope is none', '@scope/name, in small letters');
  if (!BASE.test(base)) {
    throw refuse(
      'a package, a device and a class are named after it',
      'a small letter, then small letters and digits, words apart by "-" or "_"',
      hint,
    );
  }
  if (RESERVED.includes(text) || (scope === undefined && isBuiltin(text))) {
    throw refuse(
      'the name is reserved',
      'a name that is neither a module of Node nor a folder of npm',
      `${base}-driver`,
    );
  }
  if (taken.includes(text)) {
    throw refuse('the new package depends on a package of that name', 'another name', `${base}-driver`);
  }
  return { full: text, base, pascal: pascalCase(base) };
}

function pascalCase(base: string): string {
  return base
    .split(/[_-]/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

/** The nearest thing that would do, if there is one. */
function suggestion(base: string): string | undefined {
  const words = base.replace(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase();
  const nearest = words.replace(/[^a-z0-9]+/g, '-').replace(/^[^a-z]+|-+$/g, '');
  return BASE.test(nearest) ? nearest : undefined;
}
