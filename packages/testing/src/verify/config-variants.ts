/**
 * Configurations at the edges of a driver's schema: each field at its smallest, its largest and each of its named values,
 * the others as they are. Read from the JSON schema that zod makes of it, so any schema will do; what it cannot express
 * (a transformation, a refinement) has no variants.
 */
import { z } from 'zod';

interface JsonSchema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly minimum?: number;
  readonly maximum?: number;
}

/** Each is a whole configuration, and allowed by the schema. */
export function configVariants(
  schema: z.ZodType,
  config: Record<string, unknown>,
): readonly Readonly<Record<string, unknown>>[] {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  return Object.entries(properties).flatMap(([field, below]) =>
    edges(below)
      .map((value) => ({ ...config, [field]: value }))
      .filter((variant) => schema.safeParse(variant).success),
  );
}

function edges(schema: JsonSchema): readonly unknown[] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap(edges);
  if (schema.enum !== undefined) return schema.enum;
  if (schema.const !== undefined) return [schema.const];
  if (schema.type === 'boolean') return [false, true];
  return [schema.minimum, schema.maximum].filter((edge) => edge !== undefined && Math.abs(edge) < 2 ** 31);
}
