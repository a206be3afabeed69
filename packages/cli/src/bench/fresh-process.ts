/** Runs one round of one benchmark in a process of its own: this command again, with a hidden option. */
import { spawn } from 'node:child_process';
import { PincushionError } from '@pincushion/sim';
import type { Effort, Figure } from './benchmark';

export async function measureInFreshProcess(name: string, effort: Effort): Promise<readonly Figure[]> {
  const words = ['bench', '--in-this-process', name, ...(effort === 'quick' ? ['--quick'] : [])];
  // execArgv carries the hook and the conditions that make a clone run its sources.
  const text = await outputOf(process.execPath, [...process.execArgv, process.argv[1], ...words]);
  return JSON.parse(text) as readonly Figure[];
}

/** The standard output of a program; its errors go where ours go. Rejects when it does not end with 0. */
export async function outputOf(program: string, words: readonly string[]): Promise<string> {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const ended = await new Promise<string>((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => {
      resolve(signal ?? String(code));
    });
  });
  if (ended !== '0') {
    throw new PincushionError('INTERNAL', `${program} ${words.join(' ')} ended with ${ended}`);
  }
  return text;
}
