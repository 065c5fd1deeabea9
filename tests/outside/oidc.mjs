// openid-client and oauth4webapi, as their documentation has them, against one tenant's issuer.

import assert from 'node:assert/strict';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import { follow } from './browser.mjs';

const { ISSUER, CLIENT, SECRET, SIGNER, SIGNER_KEY, OLD, OLD_SECRET, MACHINE, MACHINE_SECRET, BACK, OUT, LOGIN, PASSWORD } = process.env;
const insecure = { execute: [client.allowInsecureRequests] };
const scope = 'openid profile email api offline_access';

async function signIn(config, more = {}) {
    const verifier = client.randomPKCECodeVerifier();
    const [state, nonce] = [client.randomState(), client.randomNonce()];
    const url = client.buildAuthorizationUrl(config, {
        redirect_uri: BACK,
        scope,
        code_challenge: await client.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        state,
        nonce,
        ...more,
    });
    const back = await follow(url, BACK, LOGIN, PASSWORD);
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
    return { back, checks, tokens: await client.authorizationCodeGrant(config, back, checks) };
}

// openid-client with a secret.
const config = await client.discovery(new URL(ISSUER), CLIENT, SECRET, undefined, insecure);
const { back, checks, tokens } = await signIn(config);
const claims = tokens.claims();
assert.equal(claims.email, LOGIN);
const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
assert.equal(info.email, LOGIN);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
assert.notEqual(refreshed.refresh_token, tokens.refresh_token);
for (const token of [refreshed.access_token, refreshed.refresh_token]) {
    assert.equal((await client.tokenIntrospection(config, token)).active, true);
}
await client.tokenRevocation(config, refreshed.refresh_token);
for (const token of [refreshed.access_token, refreshed.refresh_token]) {
    assert.equal((await client.tokenIntrospection(config, token)).active, false);
}
// Asked to sign in anew, the person is.
const anew = await signIn(config, { max_age: '0' });
assert.ok(anew.tokens.claims().auth_time >= claims.auth_time);
// A code that comes again takes the tokens with it that it was good for.
await assert.rejects(client.authorizationCodeGrant(config, anew.back, anew.checks), { error: 'invalid_grant' });
assert.equal((await client.tokenIntrospection(config, anew.tokens.access_token)).active, false);
await assert.rejects(client.authorizationCodeGrant(config, back, checks), { error: 'invalid_grant' });

// What is asked for is said beforehand (PAR).
const pkce = client.randomPKCECodeVerifier();
const pushed = await client.buildAuthorizationUrlWithPAR(config, {
    redirect_uri: BACK,
    scope,
    code_challenge: await client.calculatePKCECodeChallenge(pkce),
    code_challenge_method: 'S256',
});
assert.deepEqual([...pushed.searchParams.keys()].sort(), ['client_id', 'request_uri']);
const par = await follow(pushed, BACK, LOGIN, PASSWORD);
assert.ok((await client.authorizationCodeGrant(config, par, { pkceCodeVerifier: pkce })).access_token);

// A device shows a code, and is let in.
const device = await client.initiateDeviceAuthorization(config, { scope });
assert.match(await follow(device.verification_uri_complete, null, LOGIN, PASSWORD), /is let in/);
const of_device = await client.pollDeviceAuthorizationGrant(config, device);
assert.equal(of_device.claims().sub, claims.sub);

// openid-client that signs instead (private_key_jwt), and wants its ID tokens signed by ES256.
const key = await crypto.subtle.importKey('jwk', JSON.parse(SIGNER_KEY), { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
const es256 = { id_token_signed_response_alg: 'ES256' };
const signer = await client.discovery(new URL(ISSUER), SIGNER, es256, client.PrivateKeyJwt({ key, kid: 'k1' }), insecure);
client.enableNonRepudiationChecks(signer);
const signed = await signIn(signer);
assert.equal(JSON.parse(Buffer.from(signed.tokens.id_token.split('.')[0], 'base64url')).alg, 'ES256');
assert.equal(signed.tokens.claims().sub, claims.sub);

// One that knows RS256 only.
const rs256 = { client_secret: OLD_SECRET, id_token_signed_response_alg: 'RS256' };
const old = await client.discovery(new URL(ISSUER), OLD, rs256, undefined, insecure);
client.enableNonRepudiationChecks(old);
const by_rsa = await signIn(old);
assert.equal(JSON.parse(Buffer.from(by_rsa.tokens.id_token.split('.')[0], 'base64url')).alg, 'RS256');
assert.equal(by_rsa.tokens.claims().sub, claims.sub);

// A machine for itself.
const machine = await client.discovery(new URL(ISSUER), MACHINE, MACHINE_SECRET, client.ClientSecretBasic(MACHINE_SECRET), insecure);
assert.equal((await client.clientCredentialsGrant(machine, { scope: 'api' })).token_type, 'bearer');

// Signing out leads where the client said.
const out = client.buildEndSessionUrl(config, { post_logout_redirect_uri: OUT, id_token_hint: signed.tokens.id_token, state: 'bye' });
assert.equal((await follow(out, OUT, LOGIN, PASSWORD)).searchParams.get('state'), 'bye');

// oauth4webapi: the parts by hand, with every check that it has.
const options = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(ISSUER);
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
for (const algorithm of ['oidc', 'oauth2']) {
    const found = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...options }));
    assert.equal(found.token_endpoint, as.token_endpoint);
}
const [us, auth] = [{ client_id: CLIENT }, oauth.ClientSecretPost(SECRET)];
const verifier = oauth.generateRandomCodeVerifier();
const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
const url = new URL(as.authorization_endpoint);
url.search = new URLSearchParams({
    client_id: CLIENT, redirect_uri: BACK, response_type: 'code', scope, state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
});
const parameters = oauth.validateAuthResponse(as, us, await follow(url, BACK, LOGIN, PASSWORD), state);
const answer = await oauth.authorizationCodeGrantRequest(as, us, auth, parameters, BACK, verifier, options);
const result = await oauth.processAuthorizationCodeResponse(as, us, answer, { expectedNonce: nonce, requireIdToken: true });
await oauth.validateApplicationLevelSignature(as, answer, options);
const access = new Request('https://api.example.com/', { headers: { authorization: `Bearer ${result.access_token}` } });
const said = await oauth.validateJwtAccessToken(as, access, 'inopsio', options);
assert.equal(said.sub, claims.sub);
console.log('ok');
