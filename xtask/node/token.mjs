// Gives every request the key that the gateway under test wants: the conformance suite has no option for that.
import http from 'node:http';
import { createRequire } from 'node:module';

const key = `Bearer ${process.env.RUNGS_KEY}`;

const send = globalThis.fetch;
globalThis.fetch = (input, init = {}) => {
  const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined));
  if (!headers.has('authorization')) headers.set('authorization', key);
  return send(input, { ...init, headers });
};

// The suite sends foreign Host headers past `fetch`, which would not let it.
const undici = createRequire(process.argv[1])('undici');
undici.setGlobalDispatcher(
  undici.getGlobalDispatcher().compose((dispatch) => (options, handler) => {
    const named = options.headers;
    const plain = named && !Array.isArray(named) && typeof named[Symbol.iterator] !== 'function';
    if (plain && !('authorization' in named)) options = { ...options, headers: { ...named, authorization: key } };
    return dispatch(options, handler);
  }),
);

// And malformed ones past everything.
const request = http.request;
http.request = (...parts) => {
  const options = parts.find((part) => part && typeof part === 'object' && !(part instanceof URL));
  if (options) options.headers = { authorization: key, ...options.headers };
  return request(...parts);
};
