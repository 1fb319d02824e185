#!/usr/bin/env node
// A chat shows what a session's tool calls made: the runner's own event stream, through both SDKs, into messages.
//
// Here the platform itself calls the runner and passes its stream on untouched. An event that an SDK would silently drop
// is then missing in the chat.

import assert from 'node:assert/strict';
import { OctavusClient, toSSEStream, ApiError } from '@octavus/server-sdk';
import { OctavusChat, createHttpTransport } from '@octavus/client-sdk';
import { problems, readStream } from './schemas.mjs';
import { announce, startPlatform } from './platform.mjs';
import * as runner from './runner.mjs';

const TRIGGER = `chat-${process.pid}`;
const save = 'import os, sys\nfor n in ("a.txt", "ü b.csv"):\n    open("/output/" + n, "w").write("x,y\\n1,2\\n")\n';
const CALLS = [
  { toolCallId: 'saves', toolName: 'octavus_code_run', args: { language: 'python', code: save } },
  { toolCallId: 'silent', toolName: 'octavus_code_run', args: { language: 'bash', code: ':' }, outputVariable: 'X', blockIndex: 4 },
  { toolCallId: 'slow', toolName: 'octavus_code_run', args: { language: 'bash', code: 'echo early > /output/early.txt; sleep 60', timeout: 700 } },
  { toolCallId: 'wrong', toolName: 'octavus_file_read', args: { path: '/workspace/none' } },
];

let recorded = '';
const platform = await startPlatform(async (session, body, send, response) => {
  send({ type: 'start', messageId: 'm1', executionId: 'x1' });
  for (const call of CALLS) announce(send, call);
  const stream = await runner.request('POST', `/v1/triggers/${TRIGGER}/tool-calls`, { toolCalls: CALLS }, { accept: 'text/event-stream' });
  assert.equal(stream.status, 200);
  assert.match(stream.headers.get('content-type'), /^text\/event-stream/);
  const decoder = new TextDecoder();
  for await (const chunk of stream.body) {
    recorded += decoder.decode(chunk, { stream: true });
    response.write(chunk);
  }
});

const client = new OctavusClient({ baseUrl: platform.url, apiKey: 'k' });
const session = client.agentSessions.attach('s1');
const seen = [];
async function* watched(events) {
  for await (const event of events) {
    seen.push(event);
    yield event;
  }
}
const faults = [];
const chat = new OctavusChat({
  transport: createHttpTransport({ request: async (payload, { signal }) => new Response(toSSEStream(watched(session.execute(payload, { signal })))) }),
  onError: (error) => faults.push(error),
});
await chat.send('user-message', { USER_MESSAGE: 'go' }, { userMessage: { content: 'go' } });
platform.finish();
assert.deepEqual(faults, []);

// All that the runner streamed arrived at the other end of the SDK.
const stream = readStream(recorded);
assert.deepEqual(stream.problems, []);
assert.deepEqual(seen.slice(-stream.events.length), stream.events);

// And became the parts of a message.
const message = chat.messages.at(-1);
const plain = JSON.parse(JSON.stringify(message));
assert.deepEqual(problems('message', plain), []);
const parts = (type) => plain.parts.filter((part) => part.type === type);
assert.deepEqual(parts('tool-call').map((part) => [part.toolCallId, part.status]), [['saves', 'done'], ['silent', 'done'], ['slow', 'done'], ['wrong', 'error']]);
const result = (id) => parts('tool-call').find((part) => part.toolCallId === id).result;
assert.deepEqual([result('slow').exitCode, result('slow').timedOut], [124, true]);
assert.match(result('slow').stderr, /\[command timed out\]$/);
assert.equal(parts('tool-call')[3].error, 'No such file: /workspace/none');
assert.deepEqual(parts('file').map((part) => [part.filename, part.toolCallId]), [['a.txt', 'saves'], ['ü b.csv', 'saves'], ['early.txt', 'slow']]);
for (const file of parts('file')) await runner.download(file);

// A refusal of the runner reaches a user of the SDKs as the runner's own sentence, with its code.
const asPlatform = (apiKey) => new OctavusClient({ baseUrl: runner.url, apiKey });
for (const [apiKey, status, code] of [['wrong', 401, /./], [process.env.SKILLBOX_TOKEN, 404, /^NOT_FOUND$/]]) {
  await assert.rejects(asPlatform(apiKey).agents.list(), (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.status, status);
    assert.match(error.code, code);
    assert.doesNotMatch(error.message, /^Request failed/);
    return true;
  });
  const execution = asPlatform(apiKey).agentSessions.attach('s').execute({ type: 'trigger', triggerName: 't' });
  const { value: event } = await execution.next();
  assert.equal(event.type, 'error');
  assert.doesNotMatch(event.message, /^Failed to trigger/);
}
assert.equal((await runner.request('DELETE', `/v1/triggers/${TRIGGER}`)).status, 204);
console.log(`${stream.events.length} events, ${parts('file').length} file parts`);
