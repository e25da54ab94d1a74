/** An interactive console: types at the shell of the default guest, which needs no image, and reads what it answers. */
import { Machine } from 'virts';

await using machine = await Machine.create({ memory: '128M' });
const shell = machine.console();
await machine.start();

await shell.waitFor('virts# ');
await shell.write('uname -srm\n');
const answer = await shell.waitFor(/Linux \S+ x86_64/);
console.log(answer.split('\n').at(-1));

await shell.write('poweroff\n');
const { reason } = await machine.wait();
console.log(`The machine ended: ${reason}`);
