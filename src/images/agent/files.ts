/** The files that an image gets so that `virts exec`, `virts cp`, a clean `virts stop`, and shared folders work. */
import { readFileSync } from 'node:fs';
import { FOLDERS_UNIT, FOLDERS_WANTED, MOUNT_FOLDERS } from '../shared-folders.ts';

/** A file of the guest. */
export interface GuestFile {
  /** Its absolute path in the guest. */
  readonly path: string;
  readonly mode: number;
  readonly content: string;
}

/** The built package has them at the same place. */
const read = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8');

/**
 * The agent, its unit, and the rule by which udev starts it where there is a socket device: it needs perl-base. What mounts shared folders,
 * and has systemd want that.
 */
export function agentFiles(): readonly GuestFile[] {
  return [
    { path: '/usr/libexec/virts-agent', mode: 0o755, content: read('virts-agent') },
    { path: '/usr/lib/systemd/system/virts-agent.service', mode: 0o644, content: read('virts-agent.service') },
    { path: '/usr/lib/udev/rules.d/60-virts-agent.rules', mode: 0o644, content: read('60-virts-agent.rules') },
    { path: '/usr/libexec/virts-mount-folders', mode: 0o755, content: MOUNT_FOLDERS },
    { path: '/usr/lib/systemd/system/virts-folders.service', mode: 0o644, content: FOLDERS_UNIT },
    { path: '/usr/lib/systemd/system/sysinit.target.d/virts-folders.conf', mode: 0o644, content: FOLDERS_WANTED },
  ];
}
