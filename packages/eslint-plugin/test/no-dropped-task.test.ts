import { rules } from '@pincushion/eslint-plugin';
import { testRule } from './rule-tester';

const PREAMBLE = `
export {};
interface Blocker { readonly waitingFor: string }
interface Task<T = void> { [Symbol.iterator](): Iterator<Blocker, T, undefined> }
interface NamedTask extends Task<number> { readonly name: string }
type MaySleep = number | Task<number>;
declare class Gup { unlock(): Task<void>; pin(n: number): MaySleep; named(): NamedTask; count(): number }
declare const gup: Gup;
declare function spawn<T>(task: Task<T>): void;
declare function after(ns: number, run: () => void): void;
declare function keep(run: () => Task<void>): void;
declare const ready: boolean;
function* generated(): Generator<Blocker, number, undefined> { yield { waitingFor: 'x' }; return 1; }
`;

testRule(
  'no-dropped-task',
  rules['no-dropped-task'],
  {
    valid: [
      'function* f(): Task<void> { yield* gup.unlock(); }',
      'function* f() { const r = gup.pin(1); const n = typeof r === "number" ? r : yield* r; return n; }',
      'function* f() { const t = gup.unlock(); yield* t; }',
      'function* f() { let t: Task<void>; t = gup.unlock(); yield* t; }',
      'function f() { return gup.unlock(); }',
      'const f = () => gup.unlock();',
      'spawn(gup.unlock());',
      'spawn(generated());',
      'const t = gup.unlock(); spawn(t);',
      'const all = [gup.unlock(), generated()]; for (const t of all) spawn(t);',
      'for (const blocker of generated()) ready && blocker.waitingFor;',
      'generated().next();',
      'keep(() => gup.unlock());',
      'keep(function* () { yield* gup.unlock(); });',
      'after(1, () => { spawn(gup.unlock()); });',
      'after(1, () => gup.count());',
      'function f(pending?: Task<void>) { if (pending) spawn(pending); }',
      'export const exported = gup.unlock();',
      'class Thread { constructor(private task: Task<void>) {} start() { this.task = gup.unlock(); } }',
      'declare const strings: IterableIterator<string>; strings;',
      'class Task2 { next() {} } new Task2();',
      'gup.count();',
      'class D { *probe(): Task<void> { yield* gup.unlock(); } } class E extends D { override *probe(): Task<void> { yield* super.probe(); } }',
    ],
    invalid: [
      ['gup.unlock();', 'dropped'],
      ['gup.pin(1);', 'dropped'],
      ['gup.named();', 'dropped'],
      ['generated();', 'dropped'],
      ['void gup.unlock();', 'dropped'],
      ['ready && gup.unlock();', 'dropped'],
      ['ready ? gup.unlock() : gup.count();', 'dropped'],
      ['(gup.unlock(), gup.count());', 'dropped'],
      ['if (gup.unlock()) spawn(generated());', 'dropped'],
      ['if (!gup.unlock()) spawn(generated());', 'dropped'],
      ['for (gup.unlock(); ready; generated()) spawn(generated());', 'dropped', 'dropped'],
      ['function* f() { yield gup.unlock(); }', 'yieldedWithoutStar'],
      ['function* f() { const t = gup.unlock(); }', 'neverConsumed'],
      ['function* f() { const _t = gup.unlock(); if (_t !== undefined) spawn(generated()); }', 'neverConsumed'],
      ['function f() { const r = gup.pin(1); if (typeof r === "number") return r; return 0; }', 'neverConsumed'],
      ['function f() { const r = gup.pin(1); return typeof r === "number" ? r : 0; }', 'neverConsumed'],
      ['function f() { let t; t = gup.unlock(); }', 'neverConsumed'],
      ['after(1, () => gup.unlock());', 'returnedToNobody'],
      ['after(1, () => { return gup.unlock(); });', 'returnedToNobody'],
      ['after(1, function* () { yield* gup.unlock(); });', 'returnedToNobody'],
      ['after(1, generated);', 'returnedToNobody'],
      ['after(1, gup.unlock);', 'returnedToNobody'],
      ['const f: () => void = () => gup.unlock();', 'returnedToNobody'],
      ['const ops: { done(): void } = { *done() { yield* gup.unlock(); } };', 'returnedToNobody'],
      ['class D { isr(): void {} } class E extends D { override *isr() { yield* gup.unlock(); } }', 'overridesVoid'],
      ['interface I { isr(): void } class E implements I { *isr() { yield* gup.unlock(); } }', 'overridesVoid'],
      [
        'class D { *remove(): Task<void> {} } class E extends D { override *remove(): Task<void> { super.remove(); } }',
        'dropped',
      ],
    ],
  },
  PREAMBLE,
);
