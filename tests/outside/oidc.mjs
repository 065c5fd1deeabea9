// Tests openid-client and oauth4webapi, as their documentation shows them, with one tenant's issuer.

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

// openid-client with a client secret.
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
// With `max_age=0` the person has to sign in again.
const anew = await signIn(config, { max_age: '0' });
assert.ok(anew.tokens.claims().auth_time >= claims.auth_time);
// A code that is used twice revokes the tokens that it was exchanged for.
await assert.rejects(client.authorizationCodeGrant(config, anew.back, anew.checks), { error: 'invalid_grant' });
assert.equal((await client.tokenIntrospection(config, anew.tokens.access_token)).active, false);
await assert.rejects(client.authorizationCodeGrant(config, back, checks), { error: 'invalid_grant' });

// Pushed authorization requests (PAR).
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

// The device grant: a device shows a code, and the person allows it.
const device = await client.initiateDeviceAuthorization(config, { scope });
assert.match(await follow(device.verification_uri_complete, null, LOGIN, PASSWORD), /is connected/);
const of_device = await client.pollDeviceAuthorizationGrant(config, device);
assert.equal(of_device.claims().sub, claims.sub);

// openid-client with private_key_jwt, and ID tokens signed with ES256.
const key = await crypto.subtle.importKey('jwk', JSON.parse(SIGNER_KEY), { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
const es256 = { id_token_signed_response_alg: 'ES256' };
const signer = await client.discovery(new URL(ISSUER), SIGNER, es256, client.PrivateKeyJwt({ key, kid: 'k1' }), insecure);
client.enableNonRepudiationChecks(signer);
const signed = await signIn(signer);
assert.equal(JSON.parse(Buffer.from(signed.tokens.id_token.split('.')[0], 'base64url')).alg, 'ES256');
assert.equal(signed.tokens.claims().sub, claims.sub);
const renewed = await client.refreshTokenGrant(signer, signed.tokens.refresh_token);
assert.equal((await client.tokenIntrospection(signer, renewed.access_token)).active, true);
await client.tokenRevocation(signer, renewed.refresh_token);
assert.equal((await client.tokenIntrospection(signer, renewed.access_token)).active, false);
const signing_device = await client.initiateDeviceAuthorization(signer, { scope });
assert.match(await follow(signing_device.verification_uri_complete, null, LOGIN, PASSWORD), /is connected/);
assert.equal((await client.pollDeviceAuthorizationGrant(signer, signing_device)).claims().sub, claims.sub);

// A client that supports only RS256.
const rs256 = { client_secret: OLD_SECRET, id_token_signed_response_alg: 'RS256' };
const old = await client.discovery(new URL(ISSUER), OLD, rs256, undefined, insecure);
client.enableNonRepudiationChecks(old);
const by_rsa = await signIn(old);
assert.equal(JSON.parse(Buffer.from(by_rsa.tokens.id_token.split('.')[0], 'base64url')).alg, 'RS256');
assert.equal(by_rsa.tokens.claims().sub, claims.sub);

// A machine with the client credentials grant.
const machine = await client.discovery(new URL(ISSUER), MACHINE, MACHINE_SECRET, client.ClientSecretBasic(MACHINE_SECRET), insecure);
assert.equal((await client.clientCredentialsGrant(machine, { scope: 'api' })).token_type, 'bearer');

// After sign-out the browser is redirected to the client's address.
const out = client.buildEndSessionUrl(signer, { post_logout_redirect_uri: OUT, id_token_hint: signed.tokens.id_token, state: 'bye' });
assert.equal((await follow(out, OUT, LOGIN, PASSWORD)).searchParams.get('state'), 'bye');

// oauth4webapi: each step explicitly, with all of its checks.
const options = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(ISSUER);
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
for (const algorithm of ['oidc', 'oauth2']) {
    const found = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...options }));
    assert.equal(found.token_endpoint, as.token_endpoint);
}
const secret = [{ client_id: CLIENT }, oauth.ClientSecretPost(SECRET)];
const signing = [{ client_id: SIGNER, id_token_signed_response_alg: 'ES256' }, oauth.PrivateKeyJwt({ key, kid: 'k1' })];
let last;
for (const [us, auth] of [secret, signing]) {
    // The authorization code grant with PKCE.
    const verifier = oauth.generateRandomCodeVerifier();
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
    const url = new URL(as.authorization_endpoint);
    url.search = new URLSearchParams({
        client_id: us.client_id, redirect_uri: BACK, response_type: 'code', scope, state, nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    });
    const parameters = oauth.validateAuthResponse(as, us, await follow(url, BACK, LOGIN, PASSWORD), state);
    const answer = await oauth.authorizationCodeGrantRequest(as, us, auth, parameters, BACK, verifier, options);
    const result = await oauth.processAuthorizationCodeResponse(as, us, answer, { expectedNonce: nonce, requireIdToken: true });
    await oauth.validateApplicationLevelSignature(as, answer, options);
    const access = new Request('https://api.example.com/', { headers: { authorization: `Bearer ${result.access_token}` } });
    const said = await oauth.validateJwtAccessToken(as, access, 'inopsio', options);
    assert.equal(said.sub, claims.sub);
    const known = await oauth.userInfoRequest(as, us, result.access_token, options);
    assert.equal((await oauth.processUserInfoResponse(as, us, claims.sub, known)).email, LOGIN);

    // Refresh: new tokens, and an ID token of the same person with the same time of sign-in.
    const again = await oauth.refreshTokenGrantRequest(as, us, auth, result.refresh_token, options);
    const fresh = await oauth.processRefreshTokenResponse(as, us, again);
    await oauth.validateApplicationLevelSignature(as, again, options);
    assert.notEqual(fresh.refresh_token, result.refresh_token);
    const [first, second] = [result, fresh].map(oauth.getValidatedIdTokenClaims);
    assert.deepEqual([second.sub, second.auth_time, second.nonce], [first.sub, first.auth_time, undefined]);

    // Introspection, revocation, and introspection again.
    const active = async (token) => {
        const told = await oauth.introspectionRequest(as, us, auth, token, options);
        return (await oauth.processIntrospectionResponse(as, us, told)).active;
    };
    assert.equal(await active(fresh.access_token), true);
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, us, auth, fresh.refresh_token, options));
    assert.equal(await active(fresh.access_token), false);
    assert.equal(await active(fresh.refresh_token), false);

    // The device grant.
    const asked = await oauth.deviceAuthorizationRequest(as, us, auth, { scope }, options);
    const shown = await oauth.processDeviceAuthorizationResponse(as, us, asked);
    assert.match(await follow(shown.verification_uri_complete, null, LOGIN, PASSWORD), /is connected/);
    const let_in = await oauth.deviceCodeGrantRequest(as, us, auth, shown.device_code, options);
    const of_it = await oauth.processDeviceCodeResponse(as, us, let_in);
    assert.equal(oauth.getValidatedIdTokenClaims(of_it).sub, claims.sub);
    last = result.id_token;
}

// After sign-out the browser is redirected to the client's address, and the session has ended.
const leave = new URL(as.end_session_endpoint);
leave.search = new URLSearchParams({ id_token_hint: last, client_id: SIGNER, post_logout_redirect_uri: OUT, state: 'bye' });
assert.equal((await follow(leave, OUT, LOGIN, PASSWORD)).searchParams.get('state'), 'bye');
const silent = new URL(as.authorization_endpoint);
silent.search = new URLSearchParams({
    client_id: CLIENT, redirect_uri: BACK, response_type: 'code', scope, prompt: 'none', state: 's',
    code_challenge: await oauth.calculatePKCECodeChallenge(oauth.generateRandomCodeVerifier()), code_challenge_method: 'S256',
});
const nobody = await follow(silent, BACK, LOGIN, PASSWORD);
assert.throws(() => oauth.validateAuthResponse(as, secret[0], nobody, 's'), { error: 'login_required' });
console.log('ok');
