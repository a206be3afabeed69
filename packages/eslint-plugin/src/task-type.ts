/**
 * What the rules take for a task.
 *
 * A task does nothing until it is driven by the world's scheduler. Two types say so: the interface `Task<T>` of
 * `@pincushion/sim` (and what extends it), and every generator, because a generator function is how tasks are written.
 * `Task` is known by its name together with its iterator, so an unrelated class that happens to be called `Task` is not
 * one. A generator is known by its three methods `next`, `return` and `throw`, none of them optional: an
 * `IterableIterator`, where two of them are optional, is an ordinary sequence.
 */
import { SymbolFlags, TypeFlags } from 'typescript';
import type { Signature, Type, TypeChecker } from 'typescript';

const GENERATOR_METHODS = ['next', 'return', 'throw'] as const;

/** The beginning of the name under which the compiler keeps the member `[Symbol.iterator]`. */
const ITERATOR = '__@iterator';

/** Whether a value of this type may be a task: for a union, whether any member is one (`number | Task<number>`). */
export function mayBeTask(checker: TypeChecker, type: Type): boolean {
  if ((type.flags & (TypeFlags.Any | TypeFlags.Unknown | TypeFlags.Never)) !== 0) return false;
  if (type.isUnion()) return type.types.some((member) => mayBeTask(checker, member));
  if ((type.flags & TypeFlags.TypeParameter) !== 0) {
    const constraint = checker.getBaseConstraintOfType(type);
    return constraint !== undefined && constraint !== type && mayBeTask(checker, constraint);
  }
  return isNamedTask(type) || isGenerator(checker, type);
}

/** Whether calling a value of this type makes a task. */
export function makesTask(checker: TypeChecker, type: Type): boolean {
  return callSignatures(type).some((signature) => mayBeTask(checker, signature.getReturnType()));
}

/** Whether a function of this type is called by somebody who ignores what it returns: every signature returns void. */
export function ignoresResult(type: Type): boolean {
  const signatures = callSignatures(type);
  return (
    signatures.length > 0 &&
    signatures.every((signature) => (signature.getReturnType().flags & (TypeFlags.Void | TypeFlags.Undefined)) !== 0)
  );
}

function isNamedTask(type: Type): boolean {
  const named = type.getSymbol()?.name === 'Task' || type.aliasSymbol?.name === 'Task';
  if (named && type.getProperties().some((member) => member.name.startsWith(ITERATOR))) return true;
  return (type.getBaseTypes() ?? []).some(isNamedTask);
}

function isGenerator(checker: TypeChecker, type: Type): boolean {
  return GENERATOR_METHODS.every((name) => {
    const method = checker.getPropertyOfType(type, name);
    return method !== undefined && (method.flags & SymbolFlags.Optional) === 0;
  });
}

function callSignatures(type: Type): readonly Signature[] {
  return type.isUnion() ? type.types.flatMap((member) => member.getCallSignatures()) : type.getCallSignatures();
}
