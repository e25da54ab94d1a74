import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConf, parseDump, proxyFor } from './config.ts';

test('the output of apt-config dump', () => {
  const options = parseDump(
    'APT "";\nAcquire::http::Proxy "http://p.example.invalid:3128";\nAPT::Architectures:: "amd64";\n',
  );
  assert.equal(options.get('acquire::http::proxy'), 'http://p.example.invalid:3128');
});

test('apt.conf syntax: flat, nested, comments', () => {
  const options = parseConf(`// one
# two
/* three { */
Acquire::https::Proxy "DIRECT";
Acquire {
  http { Proxy "http://p.example.invalid:3128"; Proxy::h.example.invalid "DIRECT"; };
  Retries 3;
};
`);
  assert.deepEqual(
    [...options],
    [
      ['acquire::https::proxy', 'DIRECT'],
      ['acquire::http::proxy', 'http://p.example.invalid:3128'],
      ['acquire::http::proxy::h.example.invalid', 'DIRECT'],
      ['acquire::retries', '3'],
    ],
  );
});

test('the proxy of an address: per host, for all, from the environment', () => {
  const proxy = (address: string, conf: string, env: NodeJS.ProcessEnv = {}): string | undefined =>
    proxyFor(new URL(address), parseConf(conf), env);
  const conf = 'Acquire::http::Proxy "http://p.invalid:1"; Acquire::http::Proxy::h.invalid "DIRECT";';
  assert.equal(proxy('http://a.invalid/', conf), 'http://p.invalid:1');
  assert.equal(proxy('https://a.invalid/', conf), 'http://p.invalid:1');
  assert.equal(proxy('http://h.invalid/', conf), undefined);
  assert.equal(proxy('file:///x', conf), undefined);
  const env = { http_proxy: 'http://e.invalid:2', no_proxy: 'localhost,.no.invalid' };
  assert.equal(proxy('http://a.invalid/', conf, env), 'http://p.invalid:1');
  assert.equal(proxy('http://a.invalid/', '', env), 'http://e.invalid:2');
  assert.equal(proxy('http://x.no.invalid/', '', env), undefined);
  assert.equal(proxy('https://a.invalid/', '', env), undefined);
  assert.equal(proxy('http://a.invalid/', '', { HTTP_PROXY: 'http://cgi.invalid:1' }), undefined);
});
