/**
 * What a package says about its plugin in its `package.json`, as data: the keyword `pincushion-driver` and the field
 * `pincushion`. From these a machine finds the package of a device without running any code of the others.
 *
 *     "keywords": ["pincushion-driver"],
 *     "pincushion": {
 *       "api": 1,
 *       "drivers": [{ "name": "echo-nic", "match": [{ "vendor": "0x1af4", "device": "0x10e1" }] }],
 *       "hardware": [{ "name": "echo-nic", "vendor": "0x1af4", "device": "0x10e1" }]
 *     }
 *
 * The decorators stay the truth about the classes; `fieldDisagreements` says where the field tells something else.
 */
import { z } from 'zod';
import { parseConfig } from './config';
import { driverMeta, hardwareMeta } from './decorators';
import type { Plugin } from './plugin';
import { PLUGIN_API, otherApi } from './plugin-api';

/** The keyword in `package.json` by which a dependency is known as a plugin. */
export const PLUGIN_KEYWORD = 'pincushion-driver';

const Name = z.string().regex(/^[a-z0-9][a-z0-9._-]*$/, 'a name of small letters, digits, ".", "-" and "_"');

/** 16 bits; JSON knows no hexadecimal numbers, so text is taken as well. */
const Id = z.union([
  z.int().min(0).max(0xffff),
  z
    .string()
    .regex(/^0x[0-9a-fA-F]{1,4}$/, 'a number of 16 bits, such as "0x1af4"')
    .transform((text) => parseInt(text, 16)),
]);

const Ids = z.strictObject({
  vendor: Id.describe('PCI vendor id.'),
  device: Id.describe('PCI device id.'),
});

export const PackageField = z.strictObject({
  api: z.literal(PLUGIN_API).describe('Version of the plugin contract.'),
  entry: z
    .string()
    .regex(/^\.(\/.+)?$/, '"." or a subpath of the exports, such as "./plugin"')
    .default('.')
    .describe('Which subpath of the exports has `plugin`.'),
  drivers: z.array(z.strictObject({ name: Name, match: z.array(Ids).min(1) })).default([]),
  hardware: z.array(z.strictObject({ name: Name, ...Ids.shape })).default([]),
});

/** So that messages name the field with its path. */
const InManifest = z.object({ pincushion: PackageField });

/** The field as a machine reads it: ids as numbers, with defaults. */
export type PackageField = z.output<typeof PackageField>;
/** The field as it is written into a package.json. */
export type PackageFieldInput = z.input<typeof PackageField>;

/**
 * Checks the `pincushion` field of a package. `file`: the package.json it came from, for the message.
 * Throws `UsageError`: DRIVER_API_MISMATCH for a package of another version of the contract, PACKAGE_FIELD_INVALID with
 * package, path and what is allowed there.
 */
export function parsePackageField(field: unknown, packageName: string, file: string): PackageField {
  const api = (field as { readonly api?: unknown } | null | undefined)?.api;
  if (typeof api === 'number' && api !== PLUGIN_API) throw otherApi(packageName, api);
  const where = `${packageName} (${file})`;
  return parseConfig(InManifest, { pincushion: field }, { code: 'PACKAGE_FIELD_INVALID', where }).pincushion;
}

/** Where the field says something else than the decorators of the plugin's classes, a sentence each; none when they agree. */
export function fieldDisagreements(field: PackageField, plugin: Plugin): readonly string[] {
  const said = [
    ...field.drivers.map(
      ({ name, match }) => [`driver ${name}`, match.map(idText).sort().join(', ') || 'nothing'] as const,
    ),
    ...field.hardware.map((model) => [`hardware ${model.name}`, idText(model)] as const),
  ];
  const decorated = [
    ...plugin.drivers.flatMap((cls) => {
      const meta = driverMeta(cls);
      return meta === null
        ? []
        : [[`driver ${meta.name}`, meta.match.map(idText).sort().join(', ') || 'nothing'] as const];
    }),
    ...plugin.hardware.flatMap((cls) => {
      const meta = hardwareMeta(cls);
      return meta === null ? [] : [[`hardware ${meta.name}`, idText(meta)] as const];
    }),
  ];
  const inField = new Map(said);
  const inCode = new Map(decorated);
  const problems: string[] = [];
  const api: number = plugin.api;
  if (api !== field.api) problems.push(`api is ${field.api} in the field, ${api} in the plugin`);
  for (const [what, ids] of inCode) {
    const other = inField.get(what);
    if (other === undefined) problems.push(`${what} is not in the field`);
    else if (other !== ids) problems.push(`${what} has ${other} in the field, ${ids} in its decorator`);
  }
  for (const what of inField.keys()) if (!inCode.has(what)) problems.push(`${what} is in the field only`);
  return problems;
}

/** `1af4:10e1`, as lspci writes it. */
export function idText({ vendor, device }: { readonly vendor: number; readonly device: number }): string {
  return `${vendor.toString(16).padStart(4, '0')}:${device.toString(16).padStart(4, '0')}`;
}
