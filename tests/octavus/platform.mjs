// The platform's side of a session, as far as the SDK needs one: an HTTP endpoint that streams what a platform would.
//
// Only the language model is played here (it calls the tools of a list, step after step); the SDK, the runner and what
// goes over the wire between them are the real ones.

import { createServer } from 'node:http';

/** Serves sessions: `script(sessionId, body, send)` writes the events that answer one request of the SDK. */
export async function startPlatform(script) {
  const faults = [];
  const server = createServer(async (request, response) => {
    const session = /^\/api\/agent-sessions\/([^/]+)\/trigger$/.exec(request.url)?.[1];
    if (request.method !== 'POST' || session === undefined) {
      response.writeHead(404).end();
      return;
    }
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    try {
      await script(session, JSON.parse(text), (event) => response.write(`data: ${JSON.stringify(event)}\n\n`), response);
    } catch (fault) {
      faults.push(fault);
    }
    response.end('data: [DONE]\n\n');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Throws the first thing that went wrong while a session was served. */
    finish() {
      server.closeAllConnections();
      server.close();
      if (faults.length > 0) throw faults[0];
    },
  };
}

/** What a model's call of a tool looks like in a session's stream before it is carried out. */
export function announce(send, call) {
  send({ type: 'tool-input-start', toolCallId: call.toolCallId, toolName: call.toolName });
  send({ type: 'tool-input-delta', toolCallId: call.toolCallId, inputTextDelta: JSON.stringify(call.args) });
  send({ type: 'tool-input-end', toolCallId: call.toolCallId });
  send({ type: 'tool-input-available', toolCallId: call.toolCallId, toolName: call.toolName, input: call.args });
}
