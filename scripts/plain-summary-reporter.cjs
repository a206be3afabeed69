// A jest reporter that ends each run with one plain line, alone on its line and without colours, for scripts to read.
module.exports = class PlainSummaryReporter {
  /** A suite that does not even load has no tests to count; it counts as one failure, so that the line cannot say "0 failed". */
  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    process.stdout.write(`\nTests: ${results.numPassedTests} passed, ${failed} failed\n`);
  }
};
