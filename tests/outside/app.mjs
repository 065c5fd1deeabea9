// A web application in which a tenant's people sign in, with Node 20 and openid-client.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import * as client from 'openid-client';

// ISSUER: https://…/t/<tenant>. ORIGIN: where this application is, such as https://reports.example.com, as it was registered.
const { ISSUER, CLIENT, SECRET, ORIGIN, PORT } = process.env;
const insecure = ISSUER.startsWith('http:') ? { execute: [client.allowInsecureRequests] } : undefined; // in development
const issuer = await client.discovery(new URL(ISSUER), CLIENT, SECRET, undefined, insecure);
const sessions = new Map();

const pages = {
    // The response has to belong to a request that was made in this session.
    async '/sign-in'(session) {
        const [verifier, state, nonce] = [client.randomPKCECodeVerifier(), client.randomState(), client.randomNonce()];
        session.checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
        return client.buildAuthorizationUrl(issuer, {
            redirect_uri: `${ORIGIN}/back`,
            scope: 'openid profile email api',
            code_challenge: await client.calculatePKCECodeChallenge(verifier),
            code_challenge_method: 'S256',
            state,
            nonce,
        });
    },

    async '/back'(session, url) {
        if (!session.checks) return '/sign-in';
        session.tokens = await client.authorizationCodeGrant(issuer, url, session.checks);
        delete session.checks;
        return '/';
    },

    // Calls the API in the person's name: with the person's own permissions, limited by the scopes.
    async '/'({ tokens }, url, response) {
        if (!tokens) return '/sign-in';
        const me = await client.fetchProtectedResource(issuer, tokens.access_token, new URL('/v1/user/me', ISSUER), 'GET');
        response.end(`You are ${tokens.claims().email}. The API says: ${await me.text()}`);
    },

    async '/sign-out'(session) {
        const hint = session.tokens?.id_token;
        delete session.tokens;
        return client.buildEndSessionUrl(issuer, { post_logout_redirect_uri: `${ORIGIN}/out`, ...(hint && { id_token_hint: hint }) });
    },

    async '/out'(session, url, response) {
        response.end('You are signed out.');
    },
};

export const server = createServer(async (request, response) => {
    const url = new URL(request.url, ORIGIN);
    let id = /__Host-session=([\w-]+)/.exec(request.headers.cookie)?.[1];
    if (!sessions.has(id)) sessions.set((id = randomUUID()), {});
    response.setHeader('set-cookie', `__Host-session=${id}; Path=/; Secure; HttpOnly; SameSite=Lax`);
    try {
        const next = await pages[url.pathname]?.(sessions.get(id), url, response);
        if (next) response.writeHead(303, { location: String(next) });
        else if (!response.writableEnded) response.writeHead(404);
    } catch (error) {
        console.error(error);
        response.writeHead(400);
    }
    response.end();
}).listen(PORT, '127.0.0.1');
