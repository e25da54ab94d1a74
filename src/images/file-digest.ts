/** SHA-256 of files. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

/** Lower-case hexadecimal; through one small buffer, for whatever is read stays in memory until much more is collected. */
export async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  const buffer = new Uint8Array(1 << 18);
  const file = await open(path);
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
