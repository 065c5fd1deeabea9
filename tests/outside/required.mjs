// A required second factor in Chromium: a person without one has to add a passkey before they are signed in.

import assert from 'node:assert/strict';
import { accessible, done, person } from './chromium.mjs';

const { ISSUER, LOGIN, PASSWORD } = process.env;
const at = (path) => `${ISSUER}/${path}`;

async function signsIn(page) {
    await page.goto(at('login'));
    await page.getByLabel('E-mail address or user name').fill(LOGIN);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByText('asks you for more than a password').waitFor();
}

// Without scripts only the authenticator is offered.
const plain = await person({ javaScriptEnabled: false });
await signsIn(plain.page);
assert.equal(await plain.page.getByRole('button').count(), 1);
assert.ok(await plain.page.getByRole('img', { name: 'QR code' }).isVisible());

const ada = await person();
const { page } = ada;
await ada.authenticator();
await signsIn(page);
await accessible(page, 'required');
// The person is not signed in before that.
const tab = await ada.context.newPage();
await tab.goto(at('account'));
assert.equal(tab.url(), at('login'));
await tab.close();
await page.bringToFront();
await page.getByRole('button', { name: 'Add a passkey' }).click();
await page.getByText('Your recovery codes').first().waitFor();
await accessible(page, 'recovery-codes');
await page.getByRole('link', { name: 'I have them' }).click();
await page.waitForURL(at('account'));
await done();
