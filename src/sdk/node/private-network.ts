/** Networks between machines of this program. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileReason, VirtsError } from '../../base/errors.ts';
import { createNetwork } from '../../network/node/networks.ts';

/**
 * A network on which machines of this process find each other by their names; other networks do not meet it. It leaves nothing
 * behind: networks that last are those of `virts network`.
 */
export interface Network {
  /** Takes the network away. The machines on it are to be closed first. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const NAME = 'private';
const places = new WeakMap<Network, string>();

/** Where a network is: the directory of networks, and its name there. @throws VirtsError `usage` for one that was closed. */
export function placeOf(network: Network): { readonly networks: string; readonly join: string } {
  const networks = places.get(network);
  if (networks === undefined) throw new VirtsError('usage', 'The network was closed; create another one.');
  return { networks, join: NAME };
}

export const Network = {
  /** Makes a network, for `network.join` of machines. @throws VirtsError `io`. */
  async create(): Promise<Network> {
    let directory: string;
    try {
      directory = mkdtempSync(join(tmpdir(), 'virts-network-'));
    } catch (error) {
      throw new VirtsError('io', `No directory can be made in ${tmpdir()}${fileReason(error)}.`, {}, error);
    }
    createNetwork(directory, NAME);
    const close = async (): Promise<void> => {
      places.delete(network);
      rmSync(directory, { recursive: true, force: true });
    };
    const network: Network = { close, [Symbol.asyncDispose]: close };
    places.set(network, directory);
    return network;
  },
};
