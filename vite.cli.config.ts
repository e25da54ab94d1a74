/** Bundles the program's first file with the light commands (src/cli/main.ts); what they do not need stays as the compiler left it. */
import { defineConfig } from 'vite';

export default defineConfig({
  logLevel: 'warn',
  plugins: [
    {
      name: 'leave-the-rest',
      enforce: 'pre',
      resolveId: (id) => (id === './full.ts' ? { id: './full.js', external: true } : undefined),
    },
  ],
  build: {
    // Node of any version is to get as far as the sentence on its version.
    target: 'es2022',
    outDir: 'dist/cli',
    emptyOutDir: false,
    sourcemap: true,
    minify: false,
    ssr: true,
    rolldownOptions: {
      input: { main: 'src/cli/main.ts' },
      output: {
        entryFileNames: 'main.js',
        chunkFileNames: 'light/[name].js',
      },
    },
  },
});
