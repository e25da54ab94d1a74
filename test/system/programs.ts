/** The test programs: their sources, and the images assembled from them that are checked in. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { type Header, parseHeader } from './header.ts';

const HERE = new URL('.', import.meta.url);
export const RUNTIME = new URL('runtime/', HERE);
export const SOURCES = new URL('programs/', HERE);
export const IMAGES = new URL('programs.json', HERE);

/** What `tools/assemble.ts` writes: for each program, by its path without `.asm`, what it was made from and became. */
export interface AssembledProgram {
  /** SHA-256 of `sourceText`. */
  readonly source: string;
  /** Base64 of the multiboot image. */
  readonly image: string;
}

export interface Program {
  readonly name: string;
  readonly text: string;
  readonly header: Header;
}

/** All sources, by name. @throws Error naming the program whose header is not right. */
export function readPrograms(): Program[] {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.asm'));
  return files.sort().map((file) => {
    const text = readFileSync(new URL(file, SOURCES), 'utf8');
    const name = file.slice(0, -'.asm'.length);
    try {
      return { name, text, header: parseHeader(text) };
    } catch (cause) {
      throw new Error(`${name}: ${(cause as Error).message}`, { cause });
    }
  });
}

const commentsDropped = (text: string) =>
  text
    .split('\n')
    .map((line) => line.replace(/;.*$/, '').trim())
    .filter((line) => line !== '')
    .join('\n');

/** What decides about the image: the mode, the program and the runtime, without comments. */
function sourceText({ text, header }: Program): string {
  const runtime = readdirSync(RUNTIME).filter((file) => file.endsWith('.inc'));
  const included = runtime.sort().map((file) => readFileSync(new URL(file, RUNTIME), 'utf8'));
  return [header.mode, text, ...included].map(commentsDropped).join('\n');
}

export const sourceHash = (program: Program): string => createHash('sha256').update(sourceText(program)).digest('hex');

export const readImages = (): Record<string, AssembledProgram> => JSON.parse(readFileSync(IMAGES, 'utf8'));
