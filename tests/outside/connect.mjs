// Tests the application of the book (`app.mjs`): a person signs in, is known to the API, and signs out.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { follow } from './browser.mjs';

const { BACK, OUT, LOGIN, PASSWORD } = process.env;
process.env.ORIGIN = new URL(BACK).origin;
process.env.PORT = '0';
const { server } = await import('./app.mjs');
if (!server.listening) await once(server, 'listening');
const app = `http://127.0.0.1:${server.address().port}`;

// The person's browser, as the application sees it: behind a proxy that terminates TLS.
let cookie = '';
async function visit(path, jar = cookie) {
    const answer = await fetch(app + path, { redirect: 'manual', headers: { cookie: jar } });
    cookie = answer.headers.get('set-cookie').split(';')[0];
    return { status: answer.status, next: answer.headers.get('location'), page: await answer.text() };
}

assert.equal((await visit('/')).next, '/sign-in');
const asked = await visit('/sign-in');
assert.equal(asked.status, 303);
const back = await follow(asked.next, BACK, LOGIN, PASSWORD);
const mine = cookie;

// The same callback link signs nobody else in, neither without a session nor in a session with other checks.
assert.equal((await visit(back.pathname + back.search, '')).next, '/sign-in');
await visit('/sign-in', '');
const others = console.error;
console.error = () => {};
assert.equal((await visit(back.pathname + back.search)).status, 400);
console.error = others;

assert.equal((await visit(back.pathname + back.search, mine)).next, '/');
const { page } = await visit('/', mine);
assert.ok(page.startsWith(`You are ${LOGIN}. The API says: {`), page);
const me = JSON.parse(page.slice(page.indexOf('{')));
assert.equal(me.email, LOGIN, page);

const out = await follow((await visit('/sign-out', mine)).next, OUT, LOGIN, PASSWORD);
assert.equal((await visit(out.pathname, mine)).page, 'You are signed out.');
assert.equal((await visit('/', mine)).next, '/sign-in');
assert.equal((await visit('/nowhere', mine)).status, 404);
console.log('ok');
server.closeAllConnections();
server.close();
