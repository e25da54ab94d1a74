/** The guest agent's files, which an image gets so that `virts exec`, `virts cp` and a clean `virts stop` work. */
import { readFileSync } from 'node:fs';

/** A file of the guest. */
export interface GuestFile {
  /** Its absolute path in the guest. */
  readonly path: string;
  readonly mode: number;
  readonly content: string;
}

/** The built package has them at the same place. */
const read = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8');

/** The agent, its unit, and the rule by which udev starts it where there is a socket device. It needs perl-base. */
export function agentFiles(): readonly GuestFile[] {
  return [
    { path: '/usr/libexec/virts-agent', mode: 0o755, content: read('virts-agent') },
    { path: '/usr/lib/systemd/system/virts-agent.service', mode: 0o644, content: read('virts-agent.service') },
    { path: '/usr/lib/udev/rules.d/60-virts-agent.rules', mode: 0o644, content: read('60-virts-agent.rules') },
  ];
}
