/** A test program on Bochs, which tells the recorder's memory over its console port. */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome } from './compare.ts';
import { LAYOUT } from './log.ts';

/** Milliseconds after which a program counts as one that does not end. */
const TIME_LIMIT = 10_000;
const MARK = Buffer.from('RECORDER');
const VGA_BIOS = '/usr/share/bochs/VGABIOS-lgpl-latest';

const configuration = (rom: string, log: string) => `display_library: rfb, options="timeout=0"
cpu: model=corei7_icelake_u, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=0
memory: guest=32, host=32
romimage: file=${rom}, address=0xffff0000
vgaromimage: file=${VGA_BIOS}
boot: floppy
port_e9_hack: enabled=1
clock: sync=none
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
plugin_ctrl: unmapped=1, biosdev=0, speaker=0, parallel=0, serial=0, gameport=0
log: ${log}
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
`;

function endOf(log: string, memory: Uint8Array | undefined): Outcome['end'] {
  if (memory !== undefined) return 'exit';
  if (/3rd .* exception with no resolution|shutdown/i.test(log)) return 'triple-fault';
  return /HLT instruction with IF=0/.test(log) ? 'halt' : 'limit';
}

export async function runOnBochs(rom: string, directory: string): Promise<Outcome> {
  const file = (name: string) => join(directory, name);
  writeFileSync(file('bochsrc'), configuration(rom, file('log')));
  writeFileSync(file('continue'), 'c\n');
  const child = spawn('bochs-bin', ['-q', '-f', file('bochsrc'), '-rc', file('continue')], {
    stdio: ['ignore', 'pipe', 'ignore'],
    cwd: directory,
  });
  const size = LAYOUT.end - LAYOUT.base;
  let output = Buffer.alloc(0);
  const timer = setTimeout(() => child.kill('SIGKILL'), TIME_LIMIT);
  child.stdout.on('data', (data: Buffer) => {
    output = Buffer.concat([output, data]);
    const at = output.indexOf(MARK);
    if (at >= 0 && output.length >= at + MARK.length + size) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  const at = output.indexOf(MARK) + MARK.length;
  const complete = at >= MARK.length && output.length >= at + size;
  const memory = complete ? new Uint8Array(output.subarray(at, at + size)) : undefined;
  return { end: endOf(readFileSync(file('log'), 'utf8'), memory), memory };
}
