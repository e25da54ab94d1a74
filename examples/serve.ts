/** Serves a page from a guest through a forwarded port. */
import { Machine } from 'virts';

// Port 80 of the guest is a free port of 127.0.0.1; '8080:80' would be port 8080.
await using machine = await Machine.create({ memory: '128M', network: { publish: [80] } });
using shell = machine.console();
await machine.start();

await shell.waitFor('virts# ');
await shell.write('mkdir /www && echo "<h1>A page of the guest</h1>" >/www/index.html && httpd -h /www\n');
// The guest has yet to get its address. What is typed comes back, too: the quotes keep that from being taken for the answer.
await shell.write('until ip route | grep -q default; do sleep 1; done; echo is"" up\n');
await shell.waitFor('is up');

const [forward] = machine.forwards;
const page = await fetch(`http://127.0.0.1:${forward!.port}/`);
console.log(page.status, await page.text());
