import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExec } from './exec-options.ts';

const bare = { interactive: false, terminal: false, environment: {} };

test('options end at the machine; the rest is the command’s own', () => {
  const parse = (...words: string[]) => parseExec(words, { HERE: 'x', EMPTY: '' });
  assert.deepEqual(parse('m', 'ls', '-l', '--', '-it'), { ...bare, machine: 'm', command: ['ls', '-l', '--', '-it'] });
  assert.deepEqual(parse('-it', 'm', 'sh'), {
    ...bare,
    interactive: true,
    terminal: true,
    machine: 'm',
    command: ['sh'],
  });
  assert.deepEqual(parse('--tty', '-i', '--', '-m', 'sh').machine, '-m');
  const { environment } = parse('-e', 'A=b=c', '-eB=', '--env=HERE', '--env', 'EMPTY', '-e', 'NONE', 'm', 'env');
  assert.deepEqual(environment, { A: 'b=c', B: '', HERE: 'x', EMPTY: '' });
  const all = parse('-iu', 'me:us', '-w/tmp', 'm', 'pwd');
  assert.deepEqual([all.interactive, all.user, all.directory], [true, 'me:us', '/tmp']);
  assert.deepEqual(parse('--workdir', '/', '--user=0', 'm', 'pwd').directory, '/');
});

test('what makes no sense is told', () => {
  for (const [words, message] of [
    [[], /Name a machine/],
    [['m'], /Name a machine/],
    [['-x', 'm', 'ls'], /no option -x/],
    [['--none', 'm', 'ls'], /no option --none/],
    [['--tty=1', 'm', 'ls'], /takes no value/],
    [['-u'], /takes a value/],
    [['-e', '=x', 'm', 'ls'], /no variable/],
  ] as const) {
    assert.throws(() => parseExec(words, {}), { kind: 'usage', message });
  }
});
