/** An ELF relocatable file with nothing but a `.modinfo` section, as a kernel module has it. */
export function makeModule(info: readonly string[], bits: 32 | 64 = 64): Buffer {
  const wide = bits === 64;
  const names = Buffer.from('\0.modinfo\0.shstrtab\0');
  const content = Buffer.from(info.map((line) => `${line}\0`).join(''));
  const headerSize = wide ? 64 : 52;
  const entrySize = wide ? 64 : 40;
  const table = headerSize + names.length + content.length;
  const file = Buffer.alloc(table + 3 * entrySize);
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  if (wide) file.writeBigUInt64LE(BigInt(table), 0x28);
  else file.writeUInt32LE(table, 0x20);
  const counts = wide ? 0x3a : 0x2e;
  file.writeUInt16LE(entrySize, counts);
  file.writeUInt16LE(3, counts + 2);
  file.writeUInt16LE(2, counts + 4);
  file.set(names, headerSize);
  file.set(content, headerSize + names.length);
  const section = (index: number, name: number, offset: number, size: number): void => {
    const at = table + index * entrySize;
    file.writeUInt32LE(name, at);
    if (wide) {
      file.writeBigUInt64LE(BigInt(offset), at + 0x18);
      file.writeBigUInt64LE(BigInt(size), at + 0x20);
    } else {
      file.writeUInt32LE(offset, at + 0x10);
      file.writeUInt32LE(size, at + 0x14);
    }
  };
  section(1, 1, headerSize + names.length, content.length);
  section(2, 10, headerSize, names.length);
  return file;
}
