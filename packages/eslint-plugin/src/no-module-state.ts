/**
 * `no-module-state`: all machines of a world, and all worlds of a process, share a module. What a module remembers leaks
 * from one run into the next and breaks "same seed, same run".
 *
 * Reported are, at the level of a module and as static members of classes: `let` and `var`; a `const` that holds a
 * container which can be written to (Map, Set, array, typed array, buffer, object literal, an instance made by `new`).
 * Accepted are `as const`, `Object.freeze(…)`, and an annotation that forbids writing (`readonly T[]`,
 * `ReadonlyMap<K, V>`, `Readonly<T>`, `ArrayLike<number>` for a typed array, or an object type whose properties are all
 * `readonly`).
 * Left out on purpose: state hidden in a closure that a call made, and depth below the first level of a frozen value.
 */
import { AST_NODE_TYPES, ESLintUtils } from '@typescript-eslint/utils';
import type { TSESTree } from '@typescript-eslint/utils';
import { ModifierFlags, getCombinedModifierFlags, isMethodDeclaration, isMethodSignature } from 'typescript';
import type { Type } from 'typescript';
import { createRule } from './create-rule';

/** Classes of the language whose instances can be written to. */
const CONTAINERS: ReadonlySet<string> = new Set([
  'Array',
  'ArrayBuffer',
  'BigInt64Array',
  'BigUint64Array',
  'DataView',
  'Float32Array',
  'Float64Array',
  'Int16Array',
  'Int32Array',
  'Int8Array',
  'Map',
  'Set',
  'SharedArrayBuffer',
  'Uint16Array',
  'Uint32Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'WeakMap',
  'WeakSet',
  'Buffer',
]);

/** Type names that forbid writing. */
const READONLY_TYPES: ReadonlySet<string> = new Set([
  'ArrayLike',
  'Iterable',
  'Readonly',
  'ReadonlyArray',
  'ReadonlyMap',
  'ReadonlySet',
]);

export const noModuleState = createRule<[{ allow?: readonly string[] }], 'reassignable' | 'mutable'>({
  name: 'no-module-state',
  meta: {
    type: 'problem',
    docs: { description: 'Forbid mutable state at the level of a module or class' },
    messages: {
      reassignable:
        "'{{name}}' is mutable state of the module: every machine and world of the process shares it. Make it a `const`, or a field of the world or machine it belongs to.",
      mutable:
        "'{{name}}' holds a container that can be written to, and every machine and world of the process shares it. Freeze it (`as const`, `Object.freeze`), declare it read-only, or make it a field of the world or machine it belongs to.",
    },
    defaultOptions: [{}],
    schema: [
      {
        type: 'object',
        additionalProperties: false,
        properties: {
          allow: { type: 'array', items: { type: 'string' }, description: 'Names that are mutable on purpose' },
        },
      },
    ],
  },
  create(context) {
    const allow = context.options[0].allow ?? [];
    const services = ESLintUtils.getParserServices(context);
    const checker = services.program.getTypeChecker();

    function check(
      name: string,
      init: TSESTree.Expression | null,
      annotated: TSESTree.TypeNode | undefined,
      at: TSESTree.Node,
    ) {
      if (allow.includes(name) || init === null) return;
      if (annotated !== undefined && forbidsWriting(annotated)) return;
      if (isMutable(init)) context.report({ node: at, messageId: 'mutable', data: { name } });
    }

    function isMutable(node: TSESTree.Expression): boolean {
      switch (node.type) {
        case AST_NODE_TYPES.TSAsExpression:
        case AST_NODE_TYPES.TSTypeAssertion:
          return isConst(node.typeAnnotation)
            ? hasMutablePart(node.expression)
            : !forbidsWriting(node.typeAnnotation) && isMutable(node.expression);
        case AST_NODE_TYPES.TSSatisfiesExpression:
        case AST_NODE_TYPES.TSNonNullExpression:
          return isMutable(node.expression);
        case AST_NODE_TYPES.ArrayExpression:
        case AST_NODE_TYPES.ObjectExpression:
        case AST_NODE_TYPES.NewExpression:
          return true;
        case AST_NODE_TYPES.CallExpression:
          return isFreeze(node) ? false : isContainer(services.getTypeAtLocation(node));
        default:
          return false;
      }
    }

    /** Whether a literal under `as const`, which freezes only literals, has a container made by a call inside. */
    function hasMutablePart(node: TSESTree.Expression): boolean {
      if (node.type === AST_NODE_TYPES.ArrayExpression) {
        return node.elements.some(
          (part) => part !== null && part.type !== AST_NODE_TYPES.SpreadElement && hasMutablePart(part),
        );
      }
      if (node.type === AST_NODE_TYPES.ObjectExpression) {
        return node.properties.some(
          (part) =>
            part.type === AST_NODE_TYPES.Property &&
            part.value.type !== AST_NODE_TYPES.AssignmentPattern &&
            part.value.type !== AST_NODE_TYPES.TSEmptyBodyFunctionExpression &&
            hasMutablePart(part.value),
        );
      }
      return (
        (node.type === AST_NODE_TYPES.NewExpression || node.type === AST_NODE_TYPES.CallExpression) && isMutable(node)
      );
    }

    function isContainer(type: Type): boolean {
      return type.isUnion() ? type.types.some(isContainer) : CONTAINERS.has(type.getSymbol()?.name ?? '');
    }

    function forbidsWriting(node: TSESTree.TypeNode): boolean {
      if (node.type === AST_NODE_TYPES.TSTypeOperator) return node.operator === 'readonly';
      if (node.type !== AST_NODE_TYPES.TSTypeReference) return false;
      if (node.typeName.type === AST_NODE_TYPES.Identifier && READONLY_TYPES.has(node.typeName.name)) return true;
      const type = services.getTypeAtLocation(node);
      if (isContainer(type)) return false;
      if (checker.getIndexInfosOfType(type).some((index) => !index.isReadonly)) return false;
      const properties = type.getProperties();
      return properties.every((property) =>
        (property.declarations ?? []).every(
          (declaration) =>
            isMethodSignature(declaration) ||
            isMethodDeclaration(declaration) ||
            (getCombinedModifierFlags(declaration) & ModifierFlags.Readonly) !== 0,
        ),
      );
    }

    function checkDeclaration(node: TSESTree.VariableDeclaration): void {
      if (node.declare) return;
      for (const declarator of node.declarations) {
        const name =
          declarator.id.type === AST_NODE_TYPES.Identifier
            ? declarator.id.name
            : context.sourceCode.getText(declarator.id);
        if (node.kind === 'let' || node.kind === 'var') {
          if (!allow.includes(name)) context.report({ node: declarator, messageId: 'reassignable', data: { name } });
        } else {
          check(name, declarator.init, declarator.id.typeAnnotation?.typeAnnotation, declarator);
        }
      }
    }

    return {
      'Program > VariableDeclaration': checkDeclaration,
      'Program > ExportNamedDeclaration > VariableDeclaration': checkDeclaration,
      'PropertyDefinition[static=true]': (node: TSESTree.PropertyDefinition) => {
        const name = context.sourceCode.getText(node.key);
        if (!node.readonly) context.report({ node, messageId: 'reassignable', data: { name } });
        else check(name, node.value, node.typeAnnotation?.typeAnnotation, node);
      },
    };
  },
});

function isConst(node: TSESTree.TypeNode): boolean {
  return (
    node.type === AST_NODE_TYPES.TSTypeReference &&
    node.typeName.type === AST_NODE_TYPES.Identifier &&
    node.typeName.name === 'const'
  );
}

function isFreeze(node: TSESTree.CallExpression): boolean {
  const callee = node.callee;
  return (
    callee.type === AST_NODE_TYPES.MemberExpression &&
    callee.object.type === AST_NODE_TYPES.Identifier &&
    callee.object.name === 'Object' &&
    callee.property.type === AST_NODE_TYPES.Identifier &&
    callee.property.name === 'freeze'
  );
}
