#!/usr/bin/env node
// The published server SDK carries out the tool calls of a session with a running `skillbox serve`.
//
// A platform streams a session with pending calls; the SDK, attached with six handlers, hands each to the runner over HTTP
// and sends the results back. What comes back is checked as the platform sees it, and every file is fetched.

import assert from 'node:assert/strict';
import { OCTAVUS_SKILL_TOOLS, OctavusClient } from '@octavus/server-sdk';
import { getSkillSlugFromToolCall } from '@octavus/core';
import { problems } from './schemas.mjs';
import { announce, startPlatform } from './platform.mjs';
import * as runner from './runner.mjs';

const TRIGGER = `drive-${process.pid}`;
const SKILLS = ['qr-code', 'text-report'];

// What the model calls, a list for each of its steps. Calls of one step go out at the same time.
const code = (code) => ['octavus_code_run', { language: 'python', code }];
const STEPS = [
  {
    read: ['octavus_skill_read', { skill: 'qr-code' }],
    list: ['octavus_skill_list', { skill: 'text-report' }],
    write: ['octavus_file_write', { path: 'notes.txt', content: 'one two three\nfür alle\n' }],
    python: code('import os\nprint(6 * 7)\nopen(os.environ["OUTPUT_DIR"] + "/numbers.csv", "w").write("a,b\\n1,2\\n")'),
    qr: ['octavus_skill_run', { skill: 'qr-code', script: 'generate.py', args: ['--data', 'https://octavus.ai'] }],
  },
  {
    back: ['octavus_file_read', { path: '/workspace/notes.txt' }],
    report: ['octavus_skill_run', { skill: 'text-report', script: 'scripts/report.sh', args: ['/workspace/notes.txt'] }],
    fails: code('import sys\nprint("{\\"error\\": \\"no such city\\"}")\nsys.exit(3)'),
    raises: code('1 / 0'),
    unknown: ['octavus_skill_run', { skill: 'qr-cod', script: 'generate.py' }],
    wrong: ['octavus_code_run', { language: 'cobol', code: '' }],
    outside: ['octavus_file_read', { path: '/etc/shadow' }],
  },
];

const results = {};
const platform = await startPlatform((session, body, send) => {
  send({ type: 'start', messageId: 'm1', executionId: 'x1' });
  for (const result of body.toolResults ?? []) {
    assert.deepEqual(problems('tool-result', result), [], JSON.stringify(result));
    results[result.toolCallId] = result;
  }
  const step = STEPS[body.toolResults === undefined ? 0 : STEPS.findIndex((step) => body.toolResults[0].toolCallId in step) + 1];
  if (step === undefined) {
    send({ type: 'finish', finishReason: 'stop' });
    return;
  }
  const toolCalls = Object.entries(step).map(([toolCallId, [toolName, args]]) => ({ toolCallId, toolName, args, source: 'llm', outputVariable: `V_${toolCallId}` }));
  for (const call of toolCalls) announce(send, call);
  send({ type: 'tool-request', toolCalls });
  send({ type: 'finish', finishReason: 'tool-calls' });
});

// The handlers that an application would write: they get the arguments and nothing else, so ids are theirs to make.
const files = [];
let count = 0;
const handler = (toolName) => async (args) => {
  count += 1;
  const { toolResults, events } = await runner.carryOut(TRIGGER, [{ toolCallId: `sdk-${count}`, toolName, args }], SKILLS);
  files.push(...events.filter((event) => event.type === 'file-available'));
  if (toolResults[0].error !== undefined) throw new Error(toolResults[0].error);
  return toolResults[0].result;
};
const names = Object.values(OCTAVUS_SKILL_TOOLS);
const tools = Object.fromEntries(names.map((name) => [name, handler(name)]));

const client = new OctavusClient({ baseUrl: platform.url, apiKey: 'k' });
const seen = [];
for await (const event of client.agentSessions.attach('s1', { tools }).execute({ type: 'trigger', triggerName: 'user-message' })) {
  assert.deepEqual(problems('event', event), [], JSON.stringify(event));
  seen.push(event);
}
platform.finish();

// Every call came back, under its own id, in a form that the SDK kept.
const calls = STEPS.flatMap((step) => Object.keys(step));
assert.deepEqual(Object.keys(results).sort(), calls.toSorted());
for (const id of calls) assert.equal(results[id].outputVariable, `V_${id}`);
assert.equal(seen.at(-1).type, 'finish');
const outcome = (id) => seen.find((event) => event.toolCallId === id && event.type.startsWith('tool-output-'));

const { read, list, write, python, qr, back, report, fails, raises } = Object.fromEntries(calls.map((id) => [id, results[id].result]));
assert.equal(read.skill, 'qr-code');
assert.match(read.content, /^---\nname: qr-code\n/);
assert.deepEqual(list.scripts.map((script) => script.path), ['scripts/render.py', 'scripts/report.sh', 'scripts/statistics_of.py']);
assert.deepEqual([write.path, write.size], ['/workspace/notes.txt', 24]);
assert.deepEqual([python.exitCode, python.stdout], [0, '42\n']);
assert.equal(qr.exitCode, 0, qr.stderr);
assert.equal(JSON.parse(qr.stdout).saved, 'qrcode.png');
assert.equal(back.content, 'one two three\nfür alle\n');
assert.equal(report.exitCode, 0, report.stderr);
assert.deepEqual(report.outputFiles.map((file) => file.name).toSorted(), ['report.html', 'report.md', 'statistics.json']);

// A program that fails has a result, and what it printed reaches the model.
assert.deepEqual([fails.exitCode, JSON.parse(fails.stdout)], [3, { error: 'no such city' }]);
assert.equal(raises.exitCode, 1);
assert.match(raises.stderr, /ZeroDivisionError/);
for (const id of ['fails', 'raises']) assert.equal(outcome(id).type, 'tool-output-available');

// A call that could not be carried out is an error, in a sentence that says what would work.
const errors = {
  unknown: /^Skill not found: "qr-cod"\. Available skills: qr-code, text-report$/,
  wrong: /^Invalid arguments for octavus_code_run: language must be one of python, bash$/,
  outside: /^Path not allowed: \/etc\/shadow\. /,
};
for (const [id, sentence] of Object.entries(errors)) {
  assert.match(results[id].error, sentence);
  assert.equal(results[id].result, undefined);
  assert.equal(outcome(id).type, 'tool-output-error');
}

// The files are there, and are what they say.
const content = new Map();
for (const file of files) content.set(file.filename, { ...file, bytes: await runner.download(file) });
assert.deepEqual([...content.keys()].toSorted(), ['numbers.csv', 'qrcode.png', 'report.html', 'report.md', 'statistics.json']);
assert.equal(content.get('numbers.csv').bytes.toString(), 'a,b\n1,2\n');
assert.equal(content.get('qrcode.png').mediaType, 'image/png');
assert.deepEqual([...content.get('qrcode.png').bytes.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
assert.equal(content.get('statistics.json').mediaType, 'application/json');
JSON.parse(content.get('statistics.json').bytes.toString());
assert.equal(new Set(files.map((file) => file.id)).size, files.length, 'every file has an id of its own');

// The skill of a call, as the packages find it, is the one that the runner used.
assert.equal(getSkillSlugFromToolCall('octavus_skill_read', { skill: read.skill }), 'qr-code');

// What the runner offers a model: exactly the six tools that the packages know.
const offered = await runner.json('GET', `/v1/tools?skills=${SKILLS.join(',')}&style=octavus`);
const list_of = Array.isArray(offered) ? offered : offered.tools;
assert.deepEqual(list_of.map((tool) => tool.name ?? tool.function?.name).toSorted(), names.toSorted());

// One sandbox did it all, and it goes with its trigger.
assert.equal((await runner.request('DELETE', `/v1/triggers/${TRIGGER}`)).status, 204);
console.log(`${calls.length} calls, ${seen.length} events, ${files.length} files`);
