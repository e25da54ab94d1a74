/** Opens the ports of the host that a request to forward asks for: one, a free one, any of a range, or several in a row. */
import { VirtsError } from '../base/errors.ts';
import type { Endpoint } from './address.ts';
import type { Forward, ForwardRequest } from './nat.ts';

/** One open port. */
interface OpenPort {
  readonly at: Endpoint;
  close(): void;
}

/** Opens port `at` of the host for port `guestPort` of a guest. @throws VirtsError `io`. */
type OpenOne = (at: Endpoint, guestPort: number) => Promise<OpenPort>;

/** As errors of the host call it. */
const IN_USE = 'EADDRINUSE';

async function openAny(request: ForwardRequest, last: number, openOne: OpenOne): Promise<OpenPort> {
  const { at, port } = request;
  for (let tried = at.port; ; tried++) {
    try {
      return await openOne({ address: at.address, port: tried }, port);
    } catch (error) {
      if (!(error instanceof VirtsError) || error.context.code !== IN_USE) throw error;
      if (tried < last) continue;
      const message = `None of the ports ${at.port} to ${last} of ${at.address} is free; choose others to forward.`;
      throw new VirtsError('io', message, { at: at.address }, error);
    }
  }
}

/** Opens all of a request's ports, or none. @throws VirtsError `io` where one cannot be had. */
export async function openPorts(request: ForwardRequest, openOne: OpenOne): Promise<Forward> {
  const { at, port, count = 1, upTo } = request;
  const open: OpenPort[] = [];
  const close = () => {
    for (const one of open) one.close();
  };
  try {
    if (upTo !== undefined) open.push(await openAny(request, upTo, openOne));
    else {
      for (let i = 0; i < count; i++) {
        open.push(await openOne({ address: at.address, port: at.port === 0 ? 0 : at.port + i }, port + i));
      }
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    at: open[0]!.at,
    ports: open.map((one, i) => ({ at: one.at, port: port + i })),
    close,
  };
}
