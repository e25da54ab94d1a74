/** Machines in headless Firefox. */
import { after, before, describe } from 'node:test';
import { findProgram } from '../../demo/programs.ts';
import { type Firefox, type FirefoxPage, launchFirefox } from './firefox.ts';
import { scenarioTests } from './scenarios.test-helper.ts';
import { serveScenarios } from './site.ts';

const program = findProgram('firefox-esr') ?? findProgram('firefox');
const skip = program === undefined && 'Firefox is not installed (Debian package firefox-esr)';

describe('a page in Firefox', { skip, concurrency: false }, () => {
  let browser: Firefox;
  let site: Awaited<ReturnType<typeof serveScenarios>>;
  before(async () => {
    [browser, site] = await Promise.all([launchFirefox(program as string), serveScenarios()]);
  });
  after(async () => {
    await browser?.close();
    await site?.close();
  });

  for (const isolated of [true, false]) {
    describe(isolated ? 'isolated from other origins' : 'not isolated', { concurrency: false }, () => {
      let page: FirefoxPage;
      before(async () => {
        page = await browser.newPage();
        await page.goto((isolated ? site.isolated : site.open).address);
      });

      scenarioTests(isolated, () => page);
    });
  }
});
