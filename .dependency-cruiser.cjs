// Who may know whom. Lower rows know nothing of higher ones, and packages in one row do not know each other.
// `npm run deps` checks it, and so does `npm test` (test/checks/layers.test.ts). Packages that do not exist yet have
// their place already.

/** The rows, bottom first. */
const ROWS = [
  ['sim'],
  ['mm'],
  ['dma', 'block', 'schemes'],
  ['fs', 'driver'],
  ['machine'],
  ['nvme-p2p', 'rdma-nic', 'gpu-drm', 'dax-pmem'],
  ['testing', 'workloads', 'conformance', 'comparison'],
  ['cli', 'studio'],
];

/** Drivers use the public contract and nothing else that is below them. */
const DRIVERS = ROWS[5];
const DRIVER_MAY_USE = ['sim', 'mm', 'dma', 'block', 'driver'];

const everything = ROWS.flat();
const packages = (names) => `^packages/(${names.join('|')})/`;

const layers = ROWS.flatMap((row, index) =>
  row.flatMap((name) => {
    const allowed = DRIVERS.includes(name) ? DRIVER_MAY_USE : ROWS.slice(0, index).flat();
    const forbidden = everything.filter((other) => other !== name && !allowed.includes(other));
    const comment = `${name} is in row ${index + 1} and may use ${allowed.join(', ') || 'no other package'}. Move the code down, or hand it in from above.`;
    const rules = [
      {
        name: `layers-${name}`,
        comment,
        severity: 'error',
        from: { path: `^packages/${name}/`, pathNot: '/test/' },
        to: { path: packages(forbidden) },
      },
    ];
    const forbiddenInTests = forbidden.filter((other) => other !== 'testing');
    rules.push({
      name: `layers-${name}-tests`,
      comment: `${comment} Its tests may use testing, too.`,
      severity: 'error',
      from: { path: `^packages/${name}/test/` },
      to: { path: packages(forbiddenInTests) },
    });
    return rules.filter((rule) => rule.to.path !== packages([]));
  }),
);

module.exports = {
  forbidden: [
    ...layers,
    {
      name: 'examples-are-customers',
      comment: 'A package does not depend on an example.',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^examples/' },
    },
    {
      name: 'example-drivers-use-the-contract',
      comment: `An example driver (not one that runs a whole machine) uses ${DRIVER_MAY_USE.join(', ')}; its tests use testing, too.`,
      severity: 'error',
      from: { path: '^examples/(?!workload-module/|o1-|o2-|direct-io-holds/|p2p-copy/)[^/]+/src/' },
      to: { path: '^packages/', pathNot: packages(DRIVER_MAY_USE) },
    },
    {
      name: 'no-cycles',
      comment: 'Files that import each other have no order in which to load. Move what both need into a third.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-deep-imports',
      comment: 'Import another package by its name; what is not in its index.ts is private to it.',
      severity: 'error',
      from: { path: '^(packages|examples)/([^/]+)/' },
      to: { path: '^(packages|examples)/[^/]+/src/(?!index\\.ts$)', pathNot: '^$1/$2/' },
    },
    {
      name: 'no-deep-imports-from-the-root',
      comment: 'Import a package by its name; what is not in its index.ts is private to it.',
      severity: 'error',
      from: { path: '^(test|bench)/' },
      to: { path: '^(packages|examples)/[^/]+/src/(?!index\\.ts$)' },
    },
    {
      name: 'no-relative-way-into-another-package',
      comment: 'Import another package by its name, so that its exports map and your package.json hold.',
      severity: 'error',
      from: { path: '^(packages|examples)/([^/]+)/' },
      to: { path: '^(packages|examples)/', pathNot: '^$1/$2/', dependencyTypes: ['local'] },
    },
    {
      name: 'the-host-stays-outside',
      comment:
        'Files, sockets, processes and terminals are the business of cli and the servers; hand them in through an interface.',
      severity: 'error',
      from: { path: `^packages/(${ROWS.slice(0, 6).flat().join('|')})/src/` },
      to: {
        dependencyTypes: ['core'],
        path: '^(node:)?(child_process|cluster|dgram|dns|fs|http|http2|https|inspector|net|os|readline|repl|tls|tty|worker_threads)(/|$)',
      },
    },
    {
      name: 'resolvable',
      comment: 'This import leads nowhere.',
      severity: 'error',
      from: { pathNot: '/fixture/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/' },
    enhancedResolveOptions: {
      conditionNames: ['pincushion-source', 'require', 'node', 'default'],
      exportsFields: ['exports'],
    },
  },
};
