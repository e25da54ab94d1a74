/** An image in place of `debian` for tests: the default guest with the agent, which runs on little and needs no pull. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeCpio } from '../../src/images/initramfs/cpio.ts';
import { Image } from '../../src/sdk/node/index.ts';
import { agentInitramfs } from './agent-guest.ts';
import { guestFiles } from './guest.ts';

const DISK_BYTES = 4 << 20;
/** In place of the default guest's: with the agent beside the shell. */
const INITTAB = `::respawn:/bin/cttyhack /bin/sh -l
::once:/sbin/network
::once:/usr/libexec/virts-agent
`;

/** Makes the image of the user whose data is where the environment says now. `directory`: for files on the way. */
export async function importAgentImage(directory: string): Promise<Image> {
  const [{ kernel, initrd }, agent] = await Promise.all([guestFiles('amd64'), agentInitramfs()]);
  const inittab = writeCpio([
    { type: 'file', path: 'etc/inittab', mode: 0o644, content: new TextEncoder().encode(INITTAB) },
  ]);
  const path = (name: string) => join(directory, name);
  writeFileSync(path('kernel'), kernel as Uint8Array);
  writeFileSync(path('initrd'), Buffer.concat([initrd as Uint8Array, agent, inittab]));
  writeFileSync(path('disk.raw'), new Uint8Array(DISK_BYTES));
  return Image.import(path('disk.raw'), {
    name: 'debian',
    kernel: path('kernel'),
    initrd: path('initrd'),
    append: 'console=ttyS0',
  });
}
