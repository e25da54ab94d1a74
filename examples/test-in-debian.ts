/** Runs tests in a Debian that is thrown away afterwards: whatever they do to it, the next one is fresh. */
import { Machine, VirtsError } from 'virts';

// The first time, the image is made, which takes some minutes.
await using machine = await Machine.start({
  image: 'debian',
  onProgress: ({ step, finished }) => finished || console.error(step),
});

// The tests' time counts from here on.
await machine.ready();

const tests = {
  'files can be written': 'echo text >/root/file && grep -q text /root/file',
  'the answer is 42': 'test $((6 * 9)) = 42',
  'it is safe to break things': 'rm -rf /usr/share /var/lib && echo gone',
};
let failures = 0;
for (const [name, command] of Object.entries(tests)) {
  try {
    await machine.exec(command, { signal: AbortSignal.timeout(60_000) });
    console.log(`ok: ${name}`);
  } catch (error) {
    if (!(error instanceof VirtsError) || error.kind !== 'exit-status') throw error;
    failures++;
    console.log(`not ok: ${name}: ${error.message}`);
  }
}
console.log(`${failures} failed`);
