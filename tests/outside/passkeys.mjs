// Passkeys in Chromium with a virtual authenticator: adding them, signing in with a passkey alone and after the password, and without
// passkeys.

import assert from 'node:assert/strict';
import { done, fits, person, picture } from './chromium.mjs';

const { ISSUER, LOGIN, PASSWORD } = process.env;
const at = (path) => `${ISSUER}/${path}`;

async function signsIn(page) {
    await page.getByLabel('E-mail address or user name').fill(LOGIN);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

async function signsOut(page) {
    await page.goto(at('logout'));
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out').waitFor();
}

const ada = await person();
const { page } = ada;
const device = await ada.authenticator();

// Add the first passkey, which also gives recovery codes.
await page.goto(at('login'));
await picture(page, 'login');
await fits(page);
await signsIn(page);
await page.getByRole('link', { name: 'Add a passkey' }).click();
await picture(page, 'passkeys-none');
await page.getByLabel('What you call it').fill('A phone');
await page.getByRole('button', { name: 'Add a passkey' }).click();
await page.getByText('Your recovery codes').first().waitFor();
assert.equal(await page.locator('ol.codes li').count(), 10);
await page.goto(at('account/passkeys'));
assert.equal(await page.getByLabel('Name of A phone').inputValue(), 'A phone');
await fits(page);

// The browser offers the device's passkey in the name field (autofill), and selecting it signs in.
await signsOut(page);
await page.goto(at('login'), { waitUntil: 'commit' });
await page.waitForURL(at('account'));
await page.goto(at('account/passkeys'));

// The same device can't add a second passkey, and the page says so.
await page.getByRole('button', { name: 'Add a passkey' }).click();
await page.getByRole('alert').getByText('This device has a passkey of yours already.').waitFor();
await picture(page, 'passkeys-one');

// Another device can.
await ada.devtools.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: device });
const second = await ada.authenticator({ transport: 'usb' });
await page.getByLabel('What you call it').fill('A key');
await page.getByRole('button', { name: 'Add a passkey' }).click();
await page.getByLabel('Name of A key').waitFor();
await page.getByLabel('Name of A key').fill('The key in the safe');
await page.getByRole('button', { name: 'Rename A key' }).click();
await page.getByLabel('Name of The key in the safe').waitFor();
await picture(page, 'passkeys-two');
await fits(page);

// Sign in with the passkey alone, by keyboard.
await signsOut(page);
await page.goto(at('login'));
const button = page.getByRole('button', { name: 'Sign in with a passkey' });
for (let step = 0; step < 10 && !(await button.evaluate((it) => it === document.activeElement)); step += 1) {
    await page.keyboard.press('Tab');
}
await page.keyboard.press('Enter');
await page.waitForURL(at('account'));

// Sign in with the passkey after the password.
await signsOut(page);
await page.goto(at('login'));
await signsIn(page);
await picture(page, 'second-factor');
await fits(page);
await page.getByRole('button', { name: 'Use a passkey' }).click();
await page.waitForURL(at('account'));
await picture(page, 'account');
await fits(page);

// Without user verification sign-in fails and can be tried again.
await signsOut(page);
await ada.devtools.send('WebAuthn.setUserVerified', { authenticatorId: second, isUserVerified: false });
await page.goto(at('login'));
await button.click();
await page.getByRole('alert').getByText('Your browser has shown no passkey.').waitFor();
await picture(page, 'login-failed');
await ada.devtools.send('WebAuthn.setUserVerified', { authenticatorId: second, isUserVerified: true });
await button.click();
await page.waitForURL(at('account'));

// Remove one passkey, and sign in with the other.
await page.goto(at('account/passkeys'));
await page.getByRole('button', { name: 'Remove The key in the safe' }).click();
await page.getByLabel('Name of The key in the safe').waitFor({ state: 'detached' });
await signsOut(page);
await page.goto(at('login'));
await button.click();
await page.getByRole('alert').getByText('This passkey was not accepted.').waitFor();

// Without scripts everything else works, and passkeys are not offered.
const plain = await person({ javaScriptEnabled: false });
await plain.page.goto(at('login'));
assert.equal(await plain.page.getByRole('button', { name: 'passkey' }).count(), 0);
await signsIn(plain.page);
await plain.page.getByLabel('Recovery code').waitFor();
await picture(plain.page, 'second-factor-without-scripts');

await done();
