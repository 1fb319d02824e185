// A client of a running `skillbox serve`, with nothing but fetch: SKILLBOX_URL and SKILLBOX_TOKEN say where it is.

import assert from 'node:assert/strict';
import { answerProblems } from './schemas.mjs';

export const url = process.env.SKILLBOX_URL;
const token = process.env.SKILLBOX_TOKEN;
assert.ok(url && token, 'SKILLBOX_URL and SKILLBOX_TOKEN must be set');

const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };

/** A request whose answer may be anything. */
export function request(method, path, body, more = {}) {
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  return fetch(`${url}${path}`, { method, headers: { ...headers, ...more }, ...content });
}

/** A request that must succeed, and its JSON. */
export async function json(method, path, body) {
  const response = await request(method, path, body);
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}

/** Carries calls out; every answer is held against the schemas on its way through. */
export async function carryOut(trigger, toolCalls, skills) {
  const answer = await json('POST', `/v1/triggers/${trigger}/tool-calls`, { toolCalls, skills });
  assert.deepEqual(answerProblems(answer), []);
  assert.deepEqual(answer.toolResults.map((result) => result.toolCallId), toolCalls.map((call) => call.toolCallId));
  return answer;
}

/** The content of a file part, fetched the way a browser does: by its link and nothing else. */
export async function download(file) {
  const response = await fetch(file.url);
  assert.equal(response.status, 200, `${file.filename}: ${response.status}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(bytes.length, file.size, `${file.filename}: size`);
  return bytes;
}
