/** What the host does in the network benchmark: serves and asks, and takes the time. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { promisify } from 'node:util';
import * as z from 'zod';

const LOOPBACK = '127.0.0.1';

/** A port that is free at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, LOOPBACK);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const Sum = z.object({ bits_per_second: z.number() });
const Report = z.object({ end: z.object({ sum_sent: Sum, sum_received: Sum }) });

/** Serves one test of `iperf3 -c`; resolves to Mbit/s as the host counted them. `sends`: the host sends (`-R`). */
export async function serveThroughput(port: number, sends: boolean, signal: AbortSignal): Promise<number> {
  const args = ['-s', '-1', '-J', '-B', LOOPBACK, '-p', `${port}`];
  const { stdout } = await promisify(execFile)('iperf3', args, { signal, maxBuffer: 1 << 24 });
  const { sum_sent, sum_received } = Report.parse(JSON.parse(stdout)).end;
  return (sends ? sum_sent : sum_received).bits_per_second / 1e6;
}

/** Milliseconds of each of `count` exchanges of one byte through a port behind which the guest sends all back. */
export async function exchanges(port: number, count: number): Promise<number[]> {
  const socket = connect({ port, host: LOOPBACK, noDelay: true });
  await once(socket, 'connect');
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    socket.write('x');
    await once(socket, 'data');
    times.push(performance.now() - start);
  }
  socket.destroy();
  return times;
}

const ANSWER = 'HTTP/1.0 200 OK\r\nContent-Length: 19\r\nConnection: close\r\n\r\na page of the host\n';

/** A server of one page, a connection each; `times` has when each connection was over, in milliseconds. */
export async function servePages(): Promise<{ server: Server; port: number; times: number[] }> {
  const times: number[] = [];
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {});
    socket.once('data', () => void socket.end(ANSWER));
    socket.on('close', () => times.push(performance.now()));
  });
  server.listen(0, LOOPBACK, 1024);
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port, times };
}

/** Fetches the guest's page by a connection of its own. @throws Error where it is another. */
async function fetchPage(port: number): Promise<void> {
  const socket = connect({ port, host: LOOPBACK });
  socket.write('GET / HTTP/1.0\r\n\r\n');
  let text = '';
  for await (const bytes of socket) text += bytes;
  if (!text.includes('a page of the guest')) throw new Error(`The guest's page is wrong: '${text.slice(0, 80)}'.`);
}

/** Fetches `count` pages, `parallel` at once; resolves to connections per second. */
export async function fetchPages(port: number, count: number, parallel: number): Promise<number> {
  const start = performance.now();
  let left = count;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (left-- > 0) await fetchPage(port);
    }),
  );
  return count / ((performance.now() - start) / 1000);
}
