// Chromium with a virtual authenticator, for the tests beside this file. PICTURES=folder saves screenshots.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const { CHROMIUM, PICTURES } = process.env;

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
const problems = [];

// A separate browser context. Its authenticators simulate user verification.
export async function person(options = {}) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    // Violations of a page's Content Security Policy and script errors are reported on the console.
    page.on('console', (said) => ['error', 'warning'].includes(said.type()) && problems.push(`${page.url()}: ${said.text()}`));
    page.on('pageerror', (error) => problems.push(`${page.url()}: ${error.message}`));
    const devtools = await context.newCDPSession(page);
    await devtools.send('WebAuthn.enable');
    const authenticator = async (more = {}) => {
        const device = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true };
        const added = await devtools.send('WebAuthn.addVirtualAuthenticator', {
            options: { ...device, isUserVerified: true, automaticPresenceSimulation: true, ...more },
        });
        return added.authenticatorId;
    };
    return { context, page, devtools, authenticator };
}

// Saves screenshots of a page in light and dark, narrow and wide.
export async function picture(page, name) {
    if (!PICTURES) return;
    for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        for (const width of [320, 1024]) {
            await page.setViewportSize({ width, height: 800 });
            await page.screenshot({ path: `${PICTURES}/${name}-${colorScheme}-${width}.png`, fullPage: true });
        }
    }
}

// Checks that a page has no horizontal overflow at a width of 320 pixels.
export async function fits(page) {
    await page.setViewportSize({ width: 320, height: 800 });
    const [wide, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= there, `${page.url()} is ${wide} wide on ${there}`);
    await page.setViewportSize({ width: 1024, height: 800 });
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const rules = { runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] } };

// Checks with axe-core that a page breaks no rule of WCAG, levels A and AA, in light and dark. What axe-core can't decide (such as contrast
// over a picture) has to be checked by a person with the screenshots of `picture`.
export async function accessible(page, name) {
    for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        // Injected by the debugger, because the page's Content Security Policy would block it.
        await page.evaluate(axe);
        const { violations, passes } = await page.evaluate((options) => globalThis.axe.run(document, options), rules);
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(', ')}`);
        assert.deepEqual(found, [], `${name} (${page.url()}) in ${colorScheme}`);
        assert.ok(passes.some((rule) => rule.id === 'color-contrast'), `${name}: nothing was looked at`);
    }
    await page.emulateMedia({ colorScheme: 'light' });
    await picture(page, name);
    await fits(page);
}

// The text of the last mail with this subject to an address. Waits for it.
export async function mailed(base, to, subject) {
    for (let turn = 0; turn < 300; turn += 1) {
        const { mails } = await (await fetch(new URL('/dev/mail.json', base))).json();
        const mail = mails.find((one) => one.to === to && one.subject === subject);
        if (mail) return mail.text;
        await new Promise((after) => setTimeout(after, 50));
    }
    throw new Error(`no mail to ${to}: ${subject}`);
}

// The link in a mail's text.
export const link = (text) => text.match(/\S+:\/\/\S+/)[0];

// Closes the browser, and checks that no script failed and no Content Security Policy was violated.
export async function done() {
    await browser.close();
    // The browser itself logs each 400 and 401.
    const ours = problems.filter((problem) => !problem.includes('Failed to load resource'));
    assert.deepEqual(ours, []);
    console.log('ok');
}
