/** Headless Firefox, driven by WebDriver BiDi (W3C), as much of it as tests need. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** More than a start takes on a busy host, in milliseconds. */
const PATIENCE = 60_000;

export interface FirefoxPage {
  goto(address: string): Promise<void>;
  /** Value of an expression, once it is resolved, by way of JSON. */
  evaluate(expression: string): Promise<unknown>;
}

export interface Firefox {
  newPage(): Promise<FirefoxPage>;
  close(): Promise<void>;
}

interface Answer {
  readonly id?: number | null;
  readonly type: string;
  readonly result?: unknown;
  readonly message?: string;
}

/** Resolves with the address that Firefox says it listens at. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let log = '';
    const timer = setTimeout(() => reject(new Error(`Firefox does not listen: ${log}`)), PATIENCE);
    child.stderr?.on('data', (chunk) => {
      log += chunk;
      const found = /WebDriver BiDi listening on (ws:\S+)/.exec(log);
      if (found === null) return;
      clearTimeout(timer);
      resolve(found[1] as string);
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`Firefox ended: ${log}`)));
  });
}

type Call = (method: string, params: Readonly<Record<string, unknown>>) => Promise<unknown>;

/** Opens a connection; returns what sends a command and resolves with its result. */
async function connect(address: string): Promise<Call> {
  const socket = new WebSocket(address);
  await once(socket, 'open');
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let last = 0;
  socket.addEventListener('message', ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer;
    const waiter = waiting.get(answer.id ?? 0);
    waiting.delete(answer.id ?? 0);
    if (answer.type === 'error') waiter?.reject(new Error(answer.message));
    else waiter?.resolve(answer.result);
  });
  socket.addEventListener('close', () => {
    for (const waiter of waiting.values()) waiter.reject(new Error('Firefox has gone.'));
  });
  return (method, params) => {
    const waiter = Promise.withResolvers<unknown>();
    waiting.set(++last, waiter);
    socket.send(JSON.stringify({ id: last, method, params }));
    return waiter.promise;
  };
}

/** What `script.evaluate` gives (BiDi 7.6.5). */
type Evaluated =
  | { readonly type: 'success'; readonly result: { readonly value?: string } }
  | { readonly type: 'exception'; readonly exceptionDetails: { readonly text: string } };

async function openPage(call: Call): Promise<FirefoxPage> {
  const { context } = (await call('browsingContext.create', { type: 'tab' })) as { context: string };
  return {
    goto: async (url) => void (await call('browsingContext.navigate', { context, url, wait: 'complete' })),
    async evaluate(expression) {
      const evaluated = (await call('script.evaluate', {
        expression: `(async () => JSON.stringify(await (${expression})))()`,
        target: { context },
        awaitPromise: true,
      })) as Evaluated;
      if (evaluated.type === 'exception') throw new Error(evaluated.exceptionDetails.text);
      const { value } = evaluated.result;
      return value === undefined ? undefined : JSON.parse(value);
    },
  };
}

/** Starts Firefox with a profile of its own. */
export async function launchFirefox(program: string): Promise<Firefox> {
  const home = mkdtempSync(join(tmpdir(), 'virts-firefox-'));
  const child = spawn(
    program,
    ['--headless', '--no-remote', '--profile', home, '--remote-debugging-port=0', 'about:blank'],
    { env: { ...process.env, HOME: home }, stdio: ['ignore', 'ignore', 'pipe'], detached: true },
  );
  const kill = () => {
    try {
      process.kill(-(child.pid as number), 'SIGKILL');
    } catch {
      // Gone already.
    }
  };
  process.once('exit', kill);
  try {
    const call = await connect(`${await listening(child)}/session`);
    await call('session.new', { capabilities: {} });
    return {
      newPage: () => openPage(call),
      async close() {
        const gone = once(child, 'exit');
        kill();
        await gone;
        rmSync(home, { recursive: true, force: true, maxRetries: 5 });
      },
    };
  } catch (error) {
    kill();
    throw error;
  }
}
