// What the published packages accept, as a question that can be asked: "would an SDK keep all of this?"
//
// The schemas of the packages drop keys that they do not know and drop whole events that they do not like, in both cases
// without a word. So a value counts as good only when the schema accepts it AND gives back every key that went in.

import * as core from '@octavus/core';

/** Keys that the packages of this version drop although they are sent on purpose, by kind. */
const KNOWN_TO_BE_DROPPED = { 'tool-result': new Set(['files']) };

const SCHEMAS = {
  event: { safeParse: core.safeParseStreamEvent },
  part: core.uiMessagePartSchema,
  message: { safeParse: core.safeParseUIMessage },
  file: core.fileReferenceSchema,
  'tool-result': core.toolResultSchema,
};

export const KINDS = Object.keys(SCHEMAS);

/** The paths of the keys of `sent` that `kept` has no more. */
function lost(sent, kept, path = []) {
  const structured = (value) => value !== null && typeof value === 'object' && !(value instanceof Date);
  if (!structured(sent)) return [];
  if (!structured(kept)) return kept instanceof Date ? [] : [path.join('.')];
  return Object.entries(sent).flatMap(([key, value]) =>
    Object.hasOwn(kept, key) ? lost(value, kept[key], [...path, key]) : [[...path, key].join('.')],
  );
}

/** The innermost complaints of a schema; of a union only those about the member that the `type` chose. */
function complaints(issues) {
  // A union within the union is about the type too when none of its members fits.
  const aboutType = (issue) =>
    (issue.path.at(0) === 'type' && issue.code === 'invalid_value') ||
    (issue.code === 'invalid_union' && (issue.errors ?? []).every((branch) => branch.some(aboutType)));
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union') return [`${issue.path.join('.') || '(whole)'}: ${issue.message}`];
    const meant = (issue.errors ?? []).filter((branch) => !branch.some(aboutType));
    return meant.length > 0 ? meant.flatMap(complaints) : [`type: no schema has this one`];
  });
}

/** An empty list when the packages take the value whole. */
export function problems(kind, value) {
  const schema = SCHEMAS[kind];
  if (schema === undefined) throw new Error(`no schema for ${kind}; there are ${KINDS.join(', ')}`);
  const parsed = schema.safeParse(value);
  if (!parsed.success) return complaints(parsed.error.issues);
  const found = lost(value, parsed.data)
    .filter((path) => !KNOWN_TO_BE_DROPPED[kind]?.has(path.split('.')[0]))
    .map((path) => `${path}: dropped by the schema`);
  // Accepted by some versions of the schemas, refused by others.
  if (kind === 'event' && value.type === 'tool-output-available' && !('output' in value)) found.push('output: missing');
  // Accepted by the schemas, and still a tool call that never ends in a chat.
  if (value.error === '') found.push('error: empty, so the SDKs take it for none');
  return found;
}

/** The order in which the events of some calls must come: the call's outcome, then its files, and one end. */
export function disorder(events) {
  const found = [];
  const answered = new Set();
  events.forEach((event, index) => {
    if (event.type === 'tool-output-available' || event.type === 'tool-output-error') {
      if (answered.has(event.toolCallId)) found.push(`${event.toolCallId}: answered twice`);
      answered.add(event.toolCallId);
    }
    if (event.type === 'file-available' && !answered.has(event.toolCallId))
      found.push(`${event.toolCallId}: a file before the call's own outcome`);
    const last = index === events.length - 1;
    if ((event.type === 'finish' || event.type === 'error') && !last) found.push(`${event.type} is not the last event`);
  });
  return found;
}

/** Reads a stream as the SDKs do: lines that start with "data: ", ended by a line feed. */
export function readStream(text) {
  const events = [];
  const found = [];
  let done = false;
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith(':')) continue;
    if (done) found.push(`something after [DONE]: ${JSON.stringify(line.slice(0, 60))}`);
    if (line === 'data: [DONE]') {
      done = true;
    } else if (line.startsWith('data: ')) {
      try {
        events.push(JSON.parse(line.slice('data: '.length)));
      } catch {
        found.push(`not JSON: ${JSON.stringify(line.slice(0, 60))}`);
      }
    } else {
      found.push(`a line that the SDKs do not see: ${JSON.stringify(line.slice(0, 60))}`);
    }
  }
  const last = events.at(-1)?.type;
  if (last !== 'finish' && last !== 'error') found.push(`the stream ends with ${last ?? 'nothing'}`);
  if (last === 'finish' && !done) found.push('finish without [DONE]');
  events.forEach((event, index) => {
    for (const problem of problems('event', event)) found.push(`event ${index} (${event?.type}): ${problem}`);
  });
  found.push(...disorder(events));
  return { events, problems: found };
}

/** Holds an answer of `POST …/tool-calls` against the schemas. */
export function answerProblems(answer) {
  const found = [];
  for (const result of answer.toolResults) {
    const name = `result ${result.toolCallId}`;
    for (const problem of problems('tool-result', result)) found.push(`${name}: ${problem}`);
    if (('result' in result) === ('error' in result)) found.push(`${name}: needs either a result or an error`);
    for (const file of result.files ?? []) for (const problem of problems('file', file)) found.push(`${name}, file: ${problem}`);
  }
  answer.events.forEach((event, index) => {
    for (const problem of problems('event', event)) found.push(`event ${index} (${event?.type}): ${problem}`);
    if (event.type === 'file-available')
      for (const problem of problems('part', { ...event, type: 'file' })) found.push(`event ${index} as a file part: ${problem}`);
  });
  found.push(...disorder(answer.events));
  return found;
}
