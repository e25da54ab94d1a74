/** UDP sockets of the host, by Node's. */
import { createSocket, type Socket } from 'node:dgram';
import { type Endpoint, isV6 } from '../address.ts';
import type { DatagramReceiver, HostDatagrams, HostNetwork } from '../host.ts';
import { listenError } from './errors.ts';
import { toldAddress } from './tcp.ts';

/** Bytes that may wait in a socket to be sent; what comes on top is lost. */
const MOST_QUEUED = 1024 * 1024;

function create(v6: boolean): Socket {
  return createSocket({
    ...{ type: v6 ? 'udp6' : 'udp4', ipv6Only: v6 },
    // Only addresses come here: there is nothing to look up.
    lookup: (address, _options, done) => done(null, address, v6 ? 6 : 4),
  });
}

function wrap(socket: Socket, received: DatagramReceiver, at: () => Endpoint): HostDatagrams {
  let queued = 0;
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    socket.close();
  };
  socket.on('message', (bytes, from) => {
    if (!closed) received({ address: toldAddress(from.address), port: from.port }, bytes);
  });
  socket.on('error', close);
  return {
    get at() {
      return at();
    },
    send(to, bytes) {
      if (closed || queued > MOST_QUEUED || to.port === 0) return;
      queued += bytes.length;
      // The bytes wait in the socket, and the frame around them would wait with them.
      socket.send(bytes.slice(), to.port, to.address, () => {
        queued -= bytes.length;
      });
    },
    close,
  };
}

/** A socket on a free port. */
export const datagrams: HostNetwork['datagrams'] = (version, received) => {
  const at = { address: version === 6 ? '::' : '0.0.0.0', port: 0 };
  return wrap(create(version === 6), received, () => at);
};

/** A socket on a given port. @throws VirtsError `io`. */
export const bind: HostNetwork['bind'] = (at, received) => {
  return new Promise((resolve, reject) => {
    const socket = create(isV6(at.address));
    const fail = (error: unknown): void => {
      reject(listenError(error, at, 'UDP'));
      socket.close();
    };
    socket.once('error', fail);
    socket.bind({ address: at.address, port: at.port, exclusive: true }, () => {
      socket.off('error', fail);
      const bound = { address: at.address, port: socket.address().port };
      resolve(wrap(socket, received, () => bound));
    });
  });
};
