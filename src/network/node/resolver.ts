/** The host's resolver: its name servers are asked with the guest's own question, so that every kind of record passes. */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { type Endpoint, isV6 } from '../address.ts';
import { isTruncated } from '../dns/message.ts';
import { getU16, setU16 } from '../wire.ts';

const DNS_PORT = 53;
/** Milliseconds for each server in the first round and in the second. */
const PATIENCE = [1500, 3000] as const;
const TCP_PATIENCE = 5000;
const MOST_SERVERS = 3;
const MOST_ANSWER = 65_535;

/** An entry of `getServers`: an address, or an address and a port. */
function parseServer(text: string): Endpoint {
  const match = /^\[(.+)\]:(\d+)$/.exec(text) ?? /^([\d.]+):(\d+)$/.exec(text);
  return match === null ? { address: text, port: DNS_PORT } : { address: match[1]!, port: Number(match[2]) };
}

/** Whether an answer has the question's number; the rest is for the one who asked to check. */
const fits = (query: Uint8Array, answer: Uint8Array) => answer.length >= 12 && getU16(answer, 0) === getU16(query, 0);

function askUdp(query: Uint8Array, { address, port }: Endpoint, ms: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isV6(address) ? 'udp6' : 'udp4');
    let over = false;
    const end = (finish: () => void): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.close();
      finish();
    };
    const fail = (error: unknown) => end(() => reject(error));
    const timer = setTimeout(() => fail(new Error('The name server did not answer.')), ms);
    socket.on('error', fail);
    socket.on('message', (answer) => {
      if (fits(query, answer)) end(() => resolve(answer));
    });
    // Connected, so that only this server is heard and its refusals are noticed.
    socket.connect(port, address, () => socket.send(query));
  });
}

function askTcp(query: Uint8Array, { address, port }: Endpoint): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, autoSelectFamily: false });
    const fail = (error: unknown): void => {
      socket.destroy();
      reject(error);
    };
    let input = Buffer.alloc(0);
    socket.setTimeout(TCP_PATIENCE, () => fail(new Error('The name server did not answer.')));
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('The name server hung up.')));
    socket.on('connect', () => {
      const length = new Uint8Array(2);
      setU16(length, 0, query.length);
      socket.write(Buffer.concat([length, query]));
    });
    socket.on('data', (bytes) => {
      input = Buffer.concat([input, bytes as Uint8Array]);
      if (input.length > MOST_ANSWER + 2) fail(new Error('The name server said too much.'));
      else if (input.length >= 2 && input.length >= 2 + getU16(input, 0)) {
        const answer = new Uint8Array(input.subarray(2, 2 + getU16(input, 0)));
        if (fits(query, answer)) resolve(answer);
        fail(new Error('The name server answered something else.'));
      }
    });
  });
}

async function askServer(query: Uint8Array, server: Endpoint, ms: number): Promise<Uint8Array> {
  const answer = await askUdp(query, server, ms);
  return isTruncated(answer) ? askTcp(query, server) : answer;
}

/** Asks one name server after the other. Rejects where none answers. */
export async function resolve(query: Uint8Array, servers: readonly string[]): Promise<Uint8Array> {
  // A guest's number would be easy to guess, and so would be the answer (RFC 5452).
  const own = query.slice();
  setU16(own, 0, randomInt(0x1_0000));
  let failure: unknown = new Error('This host has no name server.');
  for (const ms of PATIENCE) {
    for (const server of servers.slice(0, MOST_SERVERS).map(parseServer)) {
      try {
        const answer = new Uint8Array(await askServer(own, server, ms));
        setU16(answer, 0, getU16(query, 0));
        return answer;
      } catch (error) {
        failure = error;
      }
    }
  }
  throw failure;
}
