#!/usr/bin/env node
// Holds what was recorded against the published schemas.
//
//   node check.mjs answer|stream|event|part|message|file|tool-result < recorded
//
// `answer` is the JSON of POST …/tool-calls, `stream` the same call as server-sent events. Exit 0: all of it is taken,
// no key is lost; 1: not so, one line for each problem; 2: wrong use.

import { readFileSync } from 'node:fs';
import { KINDS, answerProblems, problems, readStream } from './schemas.mjs';

const kind = process.argv[2];
if (![...KINDS, 'answer', 'stream'].includes(kind)) {
  console.error(`usage: check.mjs answer|stream|${KINDS.join('|')} < recorded`);
  process.exit(2);
}
const recorded = readFileSync(0, 'utf8');
let found;
if (kind === 'stream') found = readStream(recorded).problems;
else if (kind === 'answer') found = answerProblems(JSON.parse(recorded));
else found = problems(kind, JSON.parse(recorded));
for (const problem of found) console.error(problem);
process.exitCode = found.length === 0 ? 0 : 1;
