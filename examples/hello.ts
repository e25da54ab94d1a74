/** An interactive console: types at the shell of the default guest, which needs no image, and reads what it answers. */
import { Machine } from 'virts';

await using machine = await Machine.create({ memory: '128M' });
const shell = machine.console();
await machine.start();

await shell.waitFor('virts# ');
await shell.write('echo "hello from $(uname -sm)"\n');
const [, answer] = (await shell.waitFor(/(hello from .*)\r\n/)).match(/(hello from L.*)\r\n/) ?? [];
console.log(answer);

await shell.write('poweroff\n');
const { reason } = await machine.wait();
console.log(`The machine ended: ${reason}`);
