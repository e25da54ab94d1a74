import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatForward, parseForward } from './forward-text.ts';

const at = (address: string, port: number) => ({ address, port });
const LOCAL = '127.0.0.1';

/** What is written, what it means, and how it is written shortest where that differs. */
const FORMS: readonly (readonly [text: string, meaning: ReturnType<typeof parseForward>, shortest?: string])[] = [
  ['8080:80', { protocol: 'tcp', at: at(LOCAL, 8080), port: 80 }],
  ['127.0.0.1:8080:80/tcp', { protocol: 'tcp', at: at(LOCAL, 8080), port: 80 }, '8080:80'],
  ['0.0.0.0:53:5353/udp', { protocol: 'udp', at: at('0.0.0.0', 53), port: 5353 }],
  ['[::1]:1:2', { protocol: 'tcp', at: at('::1', 1), port: 2 }],
  ['[0:0:0:0:0:0:0:1]:1:2', { protocol: 'tcp', at: at('::1', 1), port: 2 }, '[::1]:1:2'],
  ['80', { protocol: 'tcp', at: at(LOCAL, 0), port: 80 }],
  ['53/udp', { protocol: 'udp', at: at(LOCAL, 0), port: 53 }],
  ['0:80', { protocol: 'tcp', at: at(LOCAL, 0), port: 80 }, '80'],
  [':80', { protocol: 'tcp', at: at(LOCAL, 0), port: 80 }, '80'],
  ['0.0.0.0::80', { protocol: 'tcp', at: at('0.0.0.0', 0), port: 80 }],
  ['8000-8002:80-82', { protocol: 'tcp', at: at(LOCAL, 8000), port: 80, count: 3 }],
  ['0.0.0.0:8000-8009:80', { protocol: 'tcp', at: at('0.0.0.0', 8000), upTo: 8009, port: 80 }],
  ['80-82', { protocol: 'tcp', at: at(LOCAL, 0), port: 80, count: 3 }],
  ['8000-8000:80-80', { protocol: 'tcp', at: at(LOCAL, 8000), port: 80 }, '8000:80'],
];

test('ports are read and written in every form', () => {
  for (const [text, meaning, shortest = text] of FORMS) {
    assert.deepEqual(parseForward(text), meaning, text);
    assert.equal(formatForward(meaning), shortest);
    assert.deepEqual(parseForward(shortest), meaning, shortest);
  }
});

test('what is no forward has a sentence', () => {
  const wrong: readonly (readonly [text: string, message: RegExp])[] = [
    ...['', ':', '80:', 'x:1:2', '1:2/sctp', '1:2:3:4', '::1:1:2', '[::1:1:2', '1-2-3:4', '-1:2', '1:2/udp/tcp'].map(
      (text): readonly [string, RegExp] => [text, /./],
    ),
    ['1:65536', /from 1 to 65535/],
    ['65536:1', /from 1 to 65535/],
    ['1:0', /from 1 to 65535/],
    ['0-5:80', /from 1 to 65535/],
    ['1.2.3:80:80', /1\.2\.3 is no address/],
    ['8000-8002:80-81', /the same length/],
    ['8000:80-81', /the same length/],
    ['8002-8000:80', /ends before it begins/],
  ];
  for (const [text, message] of wrong) {
    assert.throws(() => parseForward(text), { kind: 'usage', message }, text);
  }
});
