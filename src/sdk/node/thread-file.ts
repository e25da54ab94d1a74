/** Where the program of a thread is: this file runs as TypeScript or, when built, as JavaScript, and so do those of threads. */
export function threadFile(name: string): URL {
  return new URL(`./${name}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
}
