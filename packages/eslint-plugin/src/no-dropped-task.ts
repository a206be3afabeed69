/**
 * `no-dropped-task`: a task that nobody drives silently does nothing, and the compiler does not mind.
 *
 * A generator that was created and never iterated has run none of its body: `gup.unlock();` without `yield*` compiles
 * and leaves the pages locked. The rule reports a task that is
 *
 * - an expression statement, or the operand of `void`, `!` or a comma, or the condition of a branch or loop,
 * - yielded without the star,
 * - kept in a local variable that no later code consumes,
 * - returned by a function where the caller ignores results (a callback of type `() => void`, passed as an arrow
 *   function, a generator function or a reference to either; a method that overrides a `void` one).
 *
 * Consumed is what is the operand of `yield*` or `for…of`, returned, put into a structure, passed as an argument
 * (`run`, `spawn`), or driven by hand with `.next()`. Left out on purpose: whether the called function really drives
 * its argument; a task created and never started is found at run time.
 */
import { AST_NODE_TYPES, ESLintUtils, TSESLint } from '@typescript-eslint/utils';
import type { TSESTree } from '@typescript-eslint/utils';
import { SymbolFlags } from 'typescript';
import type { Expression, Type } from 'typescript';
import { createRule } from './create-rule';
import { ignoresResult, makesTask, mayBeTask } from './task-type';

type FunctionNode = TSESTree.ArrowFunctionExpression | TSESTree.FunctionExpression;

const COMPARISONS: ReadonlySet<string> = new Set(['==', '!=', '===', '!==', '<', '<=', '>', '>=']);

export const noDroppedTask = createRule({
  name: 'no-dropped-task',
  meta: {
    type: 'problem',
    docs: { description: 'Require every task to be consumed by `yield*`, `run` or `spawn`' },
    messages: {
      dropped:
        'This task is created and dropped, so none of its body runs. Write `yield*` before it, or pass it to `run` or `spawn`.',
      yieldedWithoutStar: 'A task is yielded without the star, so none of its body runs. Write `yield*`.',
      neverConsumed:
        "The task in '{{name}}' is never consumed, so none of its body runs. Write `yield* {{name}}`, or pass it to `run` or `spawn`.",
      returnedToNobody:
        'This function returns a task to a caller that ignores results, so none of its body runs. Pass a plain function that calls `spawn`.',
      overridesVoid:
        "'{{name}}' returns a task, but its callers know it as a function without a result and never drive it. Make it a plain method that calls `spawn`.",
    },
    schema: [],
  },
  create(context) {
    const services = ESLintUtils.getParserServices(context);
    const checker = services.program.getTypeChecker();
    const isTask = (node: TSESTree.Node): boolean => mayBeTask(checker, services.getTypeAtLocation(node));

    /** Follows an expression, whose value is thrown away, down to the parts that make the value. */
    function checkDiscarded(node: TSESTree.Expression): void {
      switch (node.type) {
        case AST_NODE_TYPES.LogicalExpression:
          checkDiscarded(node.right);
          return;
        case AST_NODE_TYPES.ConditionalExpression:
          checkDiscarded(node.consequent);
          checkDiscarded(node.alternate);
          return;
        case AST_NODE_TYPES.SequenceExpression:
          node.expressions.slice(-1).forEach(checkDiscarded); // the others have their own listener
          return;
        case AST_NODE_TYPES.AssignmentExpression: // the value lives on in what it is assigned to
          return;
        case AST_NODE_TYPES.UnaryExpression: // `void` and `!` have their own listener
          return;
        default:
          if (isTask(node)) context.report({ node, messageId: 'dropped' });
      }
    }

    /** A condition is only reported when the task is made right there; `if (pending)` asks whether there is one. */
    function checkCondition(node: TSESTree.Expression | null): void {
      if (node?.type === AST_NODE_TYPES.CallExpression) checkDiscarded(node);
    }

    function expectedType(node: TSESTree.Expression): Type | undefined {
      const property = node.parent;
      if (property.type === AST_NODE_TYPES.Property && property.method) {
        const object = property.parent as TSESTree.ObjectExpression;
        const method = expectedType(object)?.getProperty(context.sourceCode.getText(property.key));
        return method && checker.getTypeOfSymbol(method);
      }
      // An expression of ESTree may be a pattern of TypeScript; here it stands where only values stand.
      return checker.getContextualType(services.esTreeNodeToTSNodeMap.get(node) as Expression);
    }

    /** A function made or named where a function without a result is expected. */
    function checkCallback(node: TSESTree.Expression): void {
      const expected = expectedType(node);
      if (expected === undefined || !ignoresResult(checker.getNonNullableType(expected))) return;
      if (makesTask(checker, services.getTypeAtLocation(node))) context.report({ node, messageId: 'returnedToNobody' });
    }

    function checkFunction(node: FunctionNode): void {
      if (node.parent.type === AST_NODE_TYPES.MethodDefinition) return;
      checkCallback(node);
    }

    function checkArgument(node: TSESTree.CallExpressionArgument): void {
      if (node.type === AST_NODE_TYPES.Identifier || node.type === AST_NODE_TYPES.MemberExpression) checkCallback(node);
    }

    function checkMethod(node: TSESTree.MethodDefinition): void {
      if (node.static || node.kind !== 'method') return;
      if (node.key.type !== AST_NODE_TYPES.Identifier || node.computed) return;
      const name = node.key.name;
      if (!makesTask(checker, services.getTypeAtLocation(node))) return;
      const owner = node.parent.parent;
      const parents = [owner.superClass, ...owner.implements.map((clause) => clause.expression)];
      for (const parent of parents) {
        if (parent === null) continue;
        const method = parentType(owner, parent)?.getProperty(name);
        if (method === undefined) continue;
        if (ignoresResult(checker.getTypeOfSymbol(method))) {
          context.report({ node: node.key, messageId: 'overridesVoid', data: { name } });
          return;
        }
      }
    }

    /** The instance type that an `extends` or `implements` clause names. */
    function parentType(owner: TSESTree.ClassDeclaration | TSESTree.ClassExpression, parent: TSESTree.Expression) {
      if (parent === owner.superClass) {
        return services.getTypeAtLocation(parent).getConstructSignatures()[0]?.getReturnType();
      }
      const symbol = services.getSymbolAtLocation(parent);
      if (symbol === undefined) return undefined;
      const declared = (symbol.flags & SymbolFlags.Alias) !== 0 ? checker.getAliasedSymbol(symbol) : symbol;
      return checker.getDeclaredTypeOfSymbol(declared);
    }

    /** A variable that holds a task must be read somewhere as a task and not only be looked at. */
    function checkVariables(scope: TSESLint.Scope.Scope): void {
      for (const variable of scope.variables) {
        const written = variable.references.find(
          (reference) => reference.writeExpr && isPlainAssignment(reference) && isTask(reference.writeExpr),
        );
        if (!written?.writeExpr) continue;
        if (variable.defs.some((def) => isParameterOrExported(def))) continue;
        if (variable.references.some((reference) => reference.isRead() && consumes(reference.identifier))) continue;
        context.report({ node: written.writeExpr, messageId: 'neverConsumed', data: { name: variable.name } });
      }
      scope.childScopes.forEach(checkVariables);
    }

    function consumes(node: TSESTree.Identifier | TSESTree.JSXIdentifier): boolean {
      const parent = node.parent;
      switch (parent.type) {
        case AST_NODE_TYPES.UnaryExpression:
        case AST_NODE_TYPES.ExpressionStatement:
          return false;
        case AST_NODE_TYPES.BinaryExpression:
          return !COMPARISONS.has(parent.operator);
        default:
          return isTask(node); // after `typeof r === 'number'` the type is narrowed and the read is none of a task
      }
    }

    return {
      ExpressionStatement: (node) => {
        checkDiscarded(node.expression);
      },
      UnaryExpression: (node) => {
        if (node.operator === 'void') checkDiscarded(node.argument);
        if (node.operator === '!') checkCondition(node.argument);
      },
      SequenceExpression: (node) => {
        node.expressions.slice(0, -1).forEach(checkDiscarded);
      },
      ForStatement: (node) => {
        if (node.init !== null && node.init.type !== AST_NODE_TYPES.VariableDeclaration) checkDiscarded(node.init);
        if (node.update !== null) checkDiscarded(node.update);
        checkCondition(node.test);
      },
      IfStatement: (node) => {
        checkCondition(node.test);
      },
      WhileStatement: (node) => {
        checkCondition(node.test);
      },
      DoWhileStatement: (node) => {
        checkCondition(node.test);
      },
      ConditionalExpression: (node) => {
        checkCondition(node.test);
      },
      YieldExpression: (node) => {
        if (node.delegate || node.argument === null) return;
        if (isTask(node.argument)) context.report({ node, messageId: 'yieldedWithoutStar' });
      },
      ArrowFunctionExpression: checkFunction,
      FunctionExpression: checkFunction,
      'CallExpression, NewExpression': (node: TSESTree.CallExpression | TSESTree.NewExpression) => {
        node.arguments.forEach(checkArgument);
      },
      MethodDefinition: checkMethod,
      'Program:exit': (node) => {
        checkVariables(context.sourceCode.getScope(node));
      },
    };
  },
});

/** `const t = task()` and `t = task()`, and neither destructuring nor the variable of a loop. */
function isPlainAssignment(reference: TSESLint.Scope.Reference): boolean {
  const parent = reference.identifier.parent;
  if (parent.type === AST_NODE_TYPES.VariableDeclarator) {
    return parent.id === reference.identifier && parent.init === reference.writeExpr;
  }
  return parent.type === AST_NODE_TYPES.AssignmentExpression && parent.left === reference.identifier;
}

function isParameterOrExported(def: TSESLint.Scope.Definition): boolean {
  if (def.type !== TSESLint.Scope.DefinitionType.Variable) return true;
  return def.parent.parent.type === AST_NODE_TYPES.ExportNamedDeclaration;
}
