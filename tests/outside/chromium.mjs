// A person with Chromium and a virtual authenticator, for the programs beside this. PICTURES=folder keeps what pages look like.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const { CHROMIUM, PICTURES } = process.env;

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
const problems = [];

// A browser of its own, with authenticators that ask for a finger and get it, or do not.
export async function person(options = {}) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    // What the policy of a page forbids is said on the console; so is whatever fails in our script.
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

// What a page looks like.
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

// Nothing sticks out of the narrowest of screens.
export async function fits(page) {
    await page.setViewportSize({ width: 320, height: 800 });
    const [wide, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= there, `${page.url()} is ${wide} wide on ${there}`);
    await page.setViewportSize({ width: 1024, height: 800 });
}

// Ends it all: nothing failed in our script, and nothing was tried that a page's policy forbids.
export async function done() {
    await browser.close();
    // The browser itself tells of each 400 and 401.
    const ours = problems.filter((problem) => !problem.includes('Failed to load resource'));
    assert.deepEqual(ours, []);
    console.log('ok');
}
