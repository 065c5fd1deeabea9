// All of our pages in Chromium: invitation, authenticator, consent for an application, device, new password, several browsers. No page may
// break a rule of WCAG 2 (A, AA), in light or dark.

import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { accessible, done, link, mailed, person } from './chromium.mjs';

const { ISSUER, PASSWORD, CLIENT, SECRET, BACK, GRACE, PROVIDER } = process.env;
const SECOND = 'seven-lanterns-under-oak';
const THIRD = 'copper-heron-attic-novel';
// A PNG file of 16 × 16 pixels.
const PIXELS = 'iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAADklEQVR42mP4/5+BFAQA/U4f4d7IdZcAAAAASUVORK5CYII=';
const at = (path) => `${ISSUER}/${path}`;

// The TOTP code of a key, this number of steps from now (RFC 6238).
function totp(key, steps) {
    const bits = [...key].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
    const secret = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
    const mac = createHmac('sha1', secret).update(counter).digest();
    return String((mac.readUInt32BE(mac.at(-1) & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

async function signsIn(page, password, factor) {
    await page.getByLabel('E-mail address or user name').fill(GRACE);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    if (!factor) return;
    await page.locator('#code').fill(factor);
    await page.getByRole('button', { name: 'Continue' }).click();
}

const alerted = (page, text) => page.getByRole('alert').getByText(text).waitFor();

const grace = await person();
const { page } = grace;
// The address that a button leads to in the end. No application is running there, so the browser shows an error.
async function leads(button) {
    const [asked] = await Promise.all([page.waitForRequest((request) => request.url().startsWith(BACK)), button.click()]);
    await page.waitForURL((url) => url.protocol === 'chrome-error:');
    return new URL(asked.url()).searchParams;
}

// An invitation. A guessable password is refused, and the typed name is kept in the form.
const invitation = link(await mailed(ISSUER, GRACE, 'You are invited'));
await page.goto(invitation);
await page.getByRole('heading', { name: 'Welcome' }).waitFor();
await accessible(page, 'invitation');
await page.getByLabel('Your name').fill('Grace Hopper');
await page.getByLabel('New password').fill('password1');
await page.getByRole('button', { name: 'Accept' }).click();
await page.getByRole('alert').waitFor();
await accessible(page, 'invitation-failed');
assert.equal(await page.getByLabel('Your name').inputValue(), 'Grace Hopper');
await page.getByLabel('New password').fill(PASSWORD);
await page.getByRole('button', { name: 'Accept' }).click();
await page.waitForURL(at('account'));
await accessible(page, 'account');

// A picture: two that are refused (one of them as large as a photograph), one that is shown, and none again.
const uploads = async (name, mimeType, buffer) => {
    await page.getByLabel('New picture').setInputFiles({ name, mimeType, buffer });
    await page.getByRole('button', { name: 'Save the picture' }).click();
};
await uploads('grace.svg', 'image/svg+xml', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'));
await alerted(page, 'allowed are PNG, JPEG and WebP');
assert.equal(await page.locator(':focus').getAttribute('id'), 'picture');
assert.match(await page.locator(':focus').getAttribute('aria-describedby'), /picture-refused/);
await accessible(page, 'account-picture-failed');
await uploads('photograph.jpg', 'image/jpeg', Buffer.alloc(8_000_000));
await alerted(page, 'allowed are 64 KiB');
await uploads('grace.png', 'image/png', Buffer.from(PIXELS, 'base64'));
await page.waitForURL(at('account'));
const shown = page.getByRole('img', { name: 'Your picture' });
for (let turn = 0; turn < 100 && (await shown.count()) === 0; turn += 1) await page.goto(at('account'));
assert.equal(await shown.evaluate(async (img) => { await img.decode(); return img.naturalWidth; }), 16);
await accessible(page, 'account-with-picture');
await page.getByRole('button', { name: 'Remove the picture' }).click();
await shown.waitFor({ state: 'detached' });
await page.getByText('You have no picture.').waitFor();

await page.goto(invitation);
await page.getByRole('heading', { name: 'This link is no longer valid' }).waitFor();
await accessible(page, 'link-spent');
await page.goto(`${at('verify-email')}${new URL(invitation).search}`);
await page.getByRole('heading', { name: 'Verify your address' }).waitFor();
await accessible(page, 'verify-email');

// Add an authenticator by typing the shown key.
await page.goto(at('account'));
await page.getByRole('link', { name: 'Add an authenticator' }).click();
await accessible(page, 'authenticator-enrol');
const key = (await page.locator('.quiet .code').innerText()).replaceAll(' ', '');
await page.locator('#code').fill('000000');
await page.getByRole('button', { name: 'Use it from now on' }).click();
await page.getByRole('alert').waitFor();
await accessible(page, 'authenticator-failed');
await page.locator('#code').fill(totp(key, 0));
await page.getByRole('button', { name: 'Use it from now on' }).click();
await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
await accessible(page, 'recovery-codes');
const recovery = await page.locator('ol.codes .code').allInnerTexts();
assert.equal(recovery.length, 10);
await page.getByRole('link', { name: 'I have them' }).click();
await page.goto(at('account/authenticator'));
await page.getByText('You have 10 recovery codes left.').waitFor();
await accessible(page, 'authenticator');

// Sign out, and sign in again with a code.
await page.goto(at('logout'));
await accessible(page, 'sign-out');
await page.getByRole('button', { name: 'Sign out' }).click();
await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
await accessible(page, 'signed-out');
await page.goto(at('login'));
await accessible(page, 'login');
await signsIn(page, 'not-the-password-at-all');
await page.getByRole('alert').first().waitFor();
await accessible(page, 'login-failed');
await signsIn(page, PASSWORD);
await page.getByRole('heading', { name: 'Enter your code' }).waitFor();
await accessible(page, 'code');
await page.locator('#code').fill('000000');
await page.getByRole('button', { name: 'Continue' }).click();
await alerted(page, 'not the current code');
await accessible(page, 'code-failed');
// The current code was used when the authenticator was added. The next one is already accepted.
await page.locator('#code').fill(totp(key, 1));
await page.getByRole('button', { name: 'Continue' }).click();
await page.waitForURL(at('account'));

// An application asks for consent: denied, then allowed, then revoked.
const verifier = randomBytes(32).toString('base64url');
const asks = new URL(at('authorize'));
asks.search = new URLSearchParams({
    client_id: CLIENT, redirect_uri: BACK, response_type: 'code', scope: 'openid profile email offline_access', state: 'here',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
});
const token = (fields) => fetch(at('token'), {
    method: 'POST', body: new URLSearchParams(fields), headers: { authorization: `Basic ${btoa(`${CLIENT}:${SECRET}`)}` },
});
await page.goto(asks.href);
await page.getByRole('heading', { name: 'Allow access?' }).waitFor();
await accessible(page, 'consent');
assert.equal((await leads(page.getByRole('button', { name: 'Do not allow' }))).get('error'), 'access_denied');
await page.goto(asks.href);
const back = await leads(page.getByRole('button', { name: 'Allow', exact: true }));
assert.equal(back.get('state'), 'here');
const granted = await token({ grant_type: 'authorization_code', code: back.get('code'), redirect_uri: BACK, code_verifier: verifier });
assert.equal(granted.status, 200);
const { refresh_token: refresh } = await granted.json();

// The response in a form: the page posts it by itself, and by its button where scripts are off.
asks.searchParams.set('response_mode', 'form_post');
const posted = (where) => where.waitForRequest((request) => request.url().startsWith(BACK));
const redeems = async (request) => {
    assert.equal(request.method(), 'POST');
    const sent = new URLSearchParams(request.postData());
    assert.equal(sent.get('state'), 'here');
    const tokens = await token({ grant_type: 'authorization_code', code: sent.get('code'), redirect_uri: BACK, code_verifier: verifier });
    assert.equal(tokens.status, 200);
};
// The page leaves before it is loaded.
const [byScript] = await Promise.all([posted(page), page.goto(asks.href).catch(() => undefined)]);
await page.waitForURL((url) => url.protocol === 'chrome-error:');
await redeems(byScript);
const plain = await person({ javaScriptEnabled: false, storageState: await grace.context.storageState() });
await plain.page.goto(asks.href);
const [byHand] = await Promise.all([posted(plain.page), plain.page.getByRole('button', { name: 'Continue' }).click()]);
await redeems(byHand);

await page.goto(at('account'));
await accessible(page, 'account-with-application');
await page.getByRole('button', { name: /^Withdraw what/ }).click();
await page.getByRole('button', { name: /^Withdraw what/ }).waitFor({ state: 'detached' });
assert.equal((await token({ grant_type: 'refresh_token', refresh_token: refresh })).status, 400);

// The device grant.
const device = await (await fetch(at('device_authorization'), {
    method: 'POST', body: new URLSearchParams({ scope: 'openid' }), headers: { authorization: `Basic ${btoa(`${CLIENT}:${SECRET}`)}` },
})).json();
await page.goto(device.verification_uri);
await accessible(page, 'device');
await page.getByLabel('The code that your device shows').fill('BCDF-GHJK');
await page.getByRole('button', { name: 'Continue' }).click();
await alerted(page, 'No device shows this code now');
await accessible(page, 'device-failed');
await page.getByLabel('The code that your device shows').fill(device.user_code.toLowerCase());
await page.getByRole('button', { name: 'Continue' }).click();
await page.getByRole('heading', { name: 'Connect this device?' }).waitFor();
await accessible(page, 'device-question');
await page.getByRole('button', { name: 'Connect', exact: true }).click();
await page.getByRole('heading', { name: 'Your device is connected' }).waitFor();
const let_in = await token({ grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: device.device_code });
assert.equal(let_in.status, 200);

// Another browser, which is signed out by the new password.
const other = await person();
await other.page.goto(at('login'));
await signsIn(other.page, PASSWORD, recovery[0]);
await other.page.waitForURL(at('account'));
await page.goto(at('account/password'));
await accessible(page, 'password-change');
await page.getByLabel('Current password').fill('not-the-password-at-all');
await page.getByLabel('New password').fill(SECOND);
await page.getByRole('button', { name: 'Change password' }).click();
await page.getByRole('alert').waitFor();
await accessible(page, 'password-change-failed');
await page.getByLabel('Current password').fill(PASSWORD);
await page.getByLabel('New password').fill(SECOND);
await page.getByRole('button', { name: 'Change password' }).click();
// A new password does not replace the second factor.
await page.getByRole('heading', { name: 'Enter your code' }).waitFor();
await page.locator('#code').fill(recovery[1]);
await page.getByRole('button', { name: 'Continue' }).click();
await page.waitForURL(at('account'));
await other.page.goto(at('account'));
assert.equal(other.page.url(), at('login'));

// End one session, then all of them.
await signsIn(other.page, SECOND, recovery[2]);
await other.page.waitForURL(at('account'));
const ends = page.getByRole('button', { name: /^End the session of/ });
// The list is updated a moment later.
for (let turn = 0; turn < 100 && (await ends.count()) === 0; turn += 1) await page.goto(at('account'));
await page.getByText('This browser').waitFor();
await accessible(page, 'account-with-sessions');
assert.equal(await ends.count(), 1);
await ends.click();
await ends.waitFor({ state: 'detached' });
await other.page.goto(at('account'));
assert.equal(other.page.url(), at('login'));
await page.getByRole('button', { name: 'Sign out everywhere' }).click();
await page.waitForURL(at('login'));

// Reset a forgotten password by mail.
await page.getByRole('link', { name: 'Forgot your password?' }).click();
await accessible(page, 'forgot');
await page.getByLabel('E-mail address or user name').fill(GRACE);
await page.getByRole('button', { name: 'Send the link' }).click();
await page.getByRole('heading', { name: 'Check your mail' }).waitFor();
await accessible(page, 'forgot-sent');
const reset = link(await mailed(ISSUER, GRACE, 'Set a new password'));
await page.goto(reset);
await page.getByRole('heading', { name: 'Choose a password' }).waitFor();
await accessible(page, 'reset');
await page.getByLabel('New password').fill(THIRD);
await page.getByRole('button', { name: 'Set password' }).click();
await page.getByRole('heading', { name: 'Your password is set' }).waitFor();
await accessible(page, 'reset-done');
await page.goto(reset);
await page.getByRole('heading', { name: 'This link is no longer valid' }).waitFor();
await page.goto(at('login'));
await signsIn(page, THIRD, recovery[3]);
await page.waitForURL(at('account'));

// Passkeys: none, then one, then sign-in with one after the password.
await grace.authenticator();
await page.goto(at('account/passkeys'));
await accessible(page, 'passkeys');
await page.getByLabel('What you call it').fill('A phone');
await page.getByRole('button', { name: 'Add a passkey' }).click();
await page.getByLabel('Name of A phone').waitFor();
await accessible(page, 'passkeys-one');

// Self-registration.
await other.page.goto(at('register'));
await accessible(other.page, 'register');
// Single sign-on with an organization: a page that redirects the browser by itself.
await other.context.route(`${PROVIDER}**`, (route) => route.abort('aborted'));
await other.page.goto(at('login'));
await other.page.getByLabel('Your e-mail address at your organization').fill('eve@example.com');
await other.page.getByRole('button', { name: 'Sign in through your organization' }).click();
await other.page.getByRole('heading', { name: 'Sign in through your organization' }).waitFor();
await accessible(other.page, 'organization');
await other.page.getByRole('link', { name: 'Continue' }).waitFor();

// An invalid request shows a page with the error, too.
await page.goto(`${at('authorize')}?client_id=nobody`);
await page.getByRole('heading', { name: 'This request can\'t be completed' }).waitFor();
await accessible(page, 'message');
await done();
