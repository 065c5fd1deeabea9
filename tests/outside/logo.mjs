// The tenant's logo in Chromium: in light and dark, and on a narrow screen.

import assert from 'node:assert/strict';
import { done, fits, person, picture } from './chromium.mjs';

const { ISSUER } = process.env;
const { page } = await person({ javaScriptEnabled: false });

await page.goto(`${ISSUER}/login`);
const logo = page.getByRole('img', { name: 'Logo of Acme' });
await logo.waitFor();
await picture(page, 'login-with-logo');
await fits(page);

// Each variant loads with the size of its file, and the dark one is used in dark mode.
const seen = {};
for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.reload({ waitUntil: 'load' });
    seen[colorScheme] = await logo.evaluate((img) => ({
        from: new URL(img.currentSrc).pathname, wide: img.naturalWidth, shown: img.getBoundingClientRect(),
    }));
    assert.equal(seen[colorScheme].wide, 160);
    const { width, height } = seen[colorScheme].shown;
    assert.ok(height <= 64 && Math.abs(width / height - 4) < 0.1, `${width} × ${height}`);
}
assert.ok(seen.light.from.endsWith('/logo') && seen.dark.from.endsWith('/logo/dark'), JSON.stringify(seen));
await done();
