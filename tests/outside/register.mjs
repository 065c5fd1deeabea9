// A person with Chromium who registers by themselves: without scripts, in light and dark, on a narrow screen.

import assert from 'node:assert/strict';
import { done, fits, person, picture } from './chromium.mjs';

const { ISSUER, LOGIN, PASSWORD } = process.env;
const at = (path) => `${ISSUER}/${path}`;
const mails = async () => (await (await fetch(new URL('/dev/mail.json', ISSUER))).json()).mails;

// The text of the mail about this that somebody got.
async function mailed(to, subject) {
    for (let turn = 0; turn < 300; turn += 1) {
        const mail = (await mails()).find((one) => one.to === to && one.subject === subject);
        if (mail) return mail.text;
        await new Promise((after) => setTimeout(after, 50));
    }
    throw new Error(`no mail to ${to}: ${subject}`);
}

const eve = await person({ javaScriptEnabled: false });
const { page } = eve;

async function asks(email) {
    await page.goto(at('login'));
    await page.getByRole('link', { name: 'Create an account' }).click();
    assert.equal(page.url(), at('register'));
    await page.getByLabel('Your e-mail address').fill(email);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Look into your mail' }).waitFor();
    return page.getByRole('main').innerText();
}

await page.goto(at('login'));
await picture(page, 'login-with-registration');
await page.goto(at('register'));
await picture(page, 'register');
await fits(page);
assert.equal(await page.evaluate(() => document.activeElement.id), 'email');

// Who has an account sees what everybody sees, and is mailed that they have one.
const told = await asks('eve@example.com');
assert.equal(await asks(LOGIN), told);
await picture(page, 'register-asked');
await mailed(LOGIN, 'You have an account already');

const link = (await mailed('eve@example.com', 'Create your account')).match(/\S+:\/\/\S+/)[0];
await page.goto(link);
await page.getByRole('heading', { name: 'Create an account' }).waitFor();
await picture(page, 'register-accept');
await fits(page);
await page.getByLabel('Your name').fill('Eve Example');
await page.getByLabel('New password').fill(PASSWORD);
await page.getByRole('button', { name: 'Create account' }).click();
await page.waitForURL(at('account'));
await page.getByText('Eve Example').first().waitFor();
await done();
