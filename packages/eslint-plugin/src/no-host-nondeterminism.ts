/**
 * `no-host-nondeterminism`: inside the machine there is no host time, no host randomness and no promise.
 *
 * Time is the world's virtual clock, what happens later is an event on its queue, what may sleep is a task, and every
 * choice comes from the world's choice source. Reported are the host's clocks, timers, randomness, promises and
 * `async`; functions whose last bit differs between JavaScript engines (`Math.log` and its like); what depends on the
 * host's locale; and what tells when the garbage collector ran.
 * Allowed, because every engine is exact: `sqrt`, `fround`, `imul`, the rounding functions, and `**` between literals
 * or with the base 2. Left out on purpose: whether the exponent of 2 is a whole number.
 */
import { AST_NODE_TYPES } from '@typescript-eslint/utils';
import type { TSESLint, TSESTree } from '@typescript-eslint/utils';
import { createRule } from './create-rule';

type MessageId = 'clock' | 'timer' | 'random' | 'promise' | 'inexact' | 'locale' | 'collector' | 'mathValue';

const GLOBALS: ReadonlyMap<string, MessageId> = new Map<string, MessageId>([
  ['Date', 'clock'],
  ['performance', 'clock'],
  ['setTimeout', 'timer'],
  ['setInterval', 'timer'],
  ['setImmediate', 'timer'],
  ['clearTimeout', 'timer'],
  ['clearInterval', 'timer'],
  ['clearImmediate', 'timer'],
  ['queueMicrotask', 'timer'],
  ['requestAnimationFrame', 'timer'],
  ['crypto', 'random'],
  ['Promise', 'promise'],
  ['PromiseLike', 'promise'],
  ['Intl', 'locale'],
  ['WeakRef', 'collector'],
  ['FinalizationRegistry', 'collector'],
]);

const MEMBERS: ReadonlyMap<string, MessageId> = new Map<string, MessageId>([
  ['process.hrtime', 'clock'],
  ['process.uptime', 'clock'],
  ['process.cpuUsage', 'clock'],
  ['process.nextTick', 'timer'],
  ['Math.random', 'random'],
]);

const INEXACT_MATH: ReadonlySet<string> = new Set(
  'acos acosh asin asinh atan atan2 atanh cbrt cos cosh exp expm1 hypot log log10 log1p log2 pow sin sinh tan tanh'.split(
    ' ',
  ),
);

const MODULES: ReadonlyMap<string, MessageId> = new Map<string, MessageId>([
  ['timers', 'timer'],
  ['timers/promises', 'timer'],
  ['perf_hooks', 'clock'],
  ['crypto', 'random'],
  ['fs/promises', 'promise'],
]);

const LOCALE_METHODS: ReadonlySet<string> = new Set(['localeCompare', 'toLocaleString']);

export const noHostNondeterminism = createRule<[], MessageId>({
  name: 'no-host-nondeterminism',
  meta: {
    type: 'problem',
    docs: { description: 'Forbid host clocks, timers, randomness and promises inside the machine' },
    messages: {
      clock: "'{{name}}' reads the host's clock. Inside the machine, time is the virtual clock of the world.",
      timer:
        "'{{name}}' is a timer of the host. Inside the machine, what happens later is an event of the world's queue.",
      random: "'{{name}}' is randomness of the host. Inside the machine, take a named choice from the world.",
      promise:
        "'{{name}}' makes a promise. Inside the machine, what may sleep is a task (a generator called with `yield*`).",
      inexact:
        "'{{name}}' differs in the last bit between JavaScript engines. Use integer arithmetic, a table, or `Math.sqrt`.",
      locale: "'{{name}}' depends on the host's locale. Compare code units, or format by hand.",
      collector: "'{{name}}' shows when the garbage collector of the host ran.",
      mathValue: "'Math' is handed on as a value, which hides what is called. Call its functions by name.",
    },
    schema: [],
  },
  create(context) {
    function report(node: TSESTree.Node, messageId: MessageId, name: string): void {
      context.report({ node, messageId, data: { name } });
    }

    function checkGlobal(reference: TSESLint.Scope.Reference): void {
      const node = reference.identifier;
      const banned = GLOBALS.get(node.name);
      if (banned !== undefined) {
        report(node, banned, node.name);
        return;
      }
      if (node.name !== 'Math' && node.name !== 'process' && node.name !== 'globalThis') return;
      const member = memberName(node);
      if (member === undefined) {
        if (node.name === 'Math' && reference.isValueReference && !isTypeQuery(node)) report(node, 'mathValue', 'Math');
        return;
      }
      const name = `${node.name}.${member}`;
      const messageId =
        node.name === 'globalThis'
          ? GLOBALS.get(member)
          : node.name === 'Math' && INEXACT_MATH.has(member)
            ? 'inexact'
            : MEMBERS.get(name);
      if (messageId !== undefined) report(node.parent, messageId, name);
    }

    function checkModule(
      node: TSESTree.ImportDeclaration | TSESTree.ExportNamedDeclaration | TSESTree.ExportAllDeclaration,
    ) {
      if (node.source === null) return;
      const messageId = MODULES.get(node.source.value.replace(/^node:/, ''));
      if (messageId !== undefined) report(node.source, messageId, node.source.value);
    }

    function checkAsync(
      node: TSESTree.FunctionDeclaration | TSESTree.FunctionExpression | TSESTree.ArrowFunctionExpression,
    ) {
      if (node.async) report(node, 'promise', 'async');
    }

    return {
      'Program:exit': (node) => {
        const scope = context.sourceCode.scopeManager?.globalScope ?? context.sourceCode.getScope(node);
        scope.through.forEach(checkGlobal);
        for (const variable of scope.variables)
          if (variable.defs.length === 0) variable.references.forEach(checkGlobal);
      },
      ImportDeclaration: checkModule,
      ExportNamedDeclaration: checkModule,
      ExportAllDeclaration: checkModule,
      FunctionDeclaration: checkAsync,
      FunctionExpression: checkAsync,
      ArrowFunctionExpression: checkAsync,
      AwaitExpression: (node) => {
        report(node, 'promise', 'await');
      },
      'ForOfStatement[await=true]': (node: TSESTree.ForOfStatement) => {
        report(node, 'promise', 'for await');
      },
      'BinaryExpression[operator="**"], AssignmentExpression[operator="**="]': (
        node: TSESTree.BinaryExpression | TSESTree.AssignmentExpression,
      ) => {
        if (node.left.type === AST_NODE_TYPES.Literal) {
          // Every engine is exact for a power of two with a whole exponent, the size of a block of that order.
          if (node.left.value === 2 || node.right.type === AST_NODE_TYPES.Literal) return;
        }
        report(node, 'inexact', node.operator);
      },
      MemberExpression: (node) => {
        if (node.property.type !== AST_NODE_TYPES.Identifier || node.computed) return;
        if (LOCALE_METHODS.has(node.property.name)) report(node.property, 'locale', node.property.name);
      },
    };
  },
});

/** The name in `object.name` or `object['name']` of which `node` is the object. */
function memberName(node: TSESTree.Node): string | undefined {
  const parent = node.parent;
  if (parent?.type !== AST_NODE_TYPES.MemberExpression || parent.object !== node) return undefined;
  if (!parent.computed && parent.property.type === AST_NODE_TYPES.Identifier) return parent.property.name;
  if (parent.property.type === AST_NODE_TYPES.Literal) return String(parent.property.value);
  return undefined;
}

function isTypeQuery(node: TSESTree.Node): boolean {
  return node.parent?.type === AST_NODE_TYPES.TSTypeQuery;
}
