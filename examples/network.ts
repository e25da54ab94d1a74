/** Two machines on a network of their own, without a way out of it, where they find each other by name. */
import { Machine, Network } from 'virts';

await using network = await Network.create();
const options = { memory: '128M', network: { kind: 'none', join: network } } as const;
await using server = await Machine.create({ ...options, name: 'server' });
await using client = await Machine.create({ ...options, name: 'client' });
const shells = [server.console(), client.console()] as const;
await Promise.all([server.start(), client.start()]);

const [atServer, atClient] = shells;
await Promise.all(shells.map((shell) => shell.waitFor('virts# ')));
await atServer.write(
  'mkdir /www && echo "a page for my neighbours" >/www/index.html && httpd -h /www && echo is"" up\n',
);
await atServer.waitFor('is up');
await atClient.write('until wget -q -O - http://server/; do sleep 1; done; echo "that"" was it"\n');
const [page] = (await atClient.waitFor(/that was it/)).match(/a page .*(?=\r\n)/) ?? [];
console.log(page);
