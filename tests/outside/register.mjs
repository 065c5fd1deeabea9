// Self-registration in Chromium: without scripts, in light and dark, and on a narrow screen.

import assert from 'node:assert/strict';
import { done, fits, link, mailed, person, picture } from './chromium.mjs';

const { ISSUER, LOGIN, PASSWORD } = process.env;
const at = (path) => `${ISSUER}/${path}`;
const eve = await person({ javaScriptEnabled: false });
const { page } = eve;

async function asks(email) {
    await page.goto(at('login'));
    await page.getByRole('link', { name: 'Create an account' }).click();
    assert.equal(page.url(), at('register'));
    await page.getByLabel('Your e-mail address').fill(email);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Check your mail' }).waitFor();
    return page.getByRole('main').innerText();
}

await page.goto(at('login'));
await picture(page, 'login-with-registration');
await page.goto(at('register'));
await picture(page, 'register');
await fits(page);
assert.equal(await page.evaluate(() => document.activeElement.id), 'email');

// For an address with an account the page shows the same, and a mail says that there is an account.
const told = await asks('eve@example.com');
assert.equal(await asks(LOGIN), told);
await picture(page, 'register-asked');
await mailed(ISSUER, LOGIN, 'You have an account already');

await page.goto(link(await mailed(ISSUER, 'eve@example.com', 'Create your account')));
await page.getByRole('heading', { name: 'Create an account' }).waitFor();
await picture(page, 'register-accept');
await fits(page);
await page.getByLabel('Your name').fill('Eve Example');
await page.getByLabel('New password').fill(PASSWORD);
await page.getByRole('button', { name: 'Create account' }).click();
await page.waitForURL(at('account'));
await page.getByText('Eve Example').first().waitFor();
await done();
