/** Bundles `src/browser` to `dist/browser`, what the package exports as `virts/browser`: a module and its workers. */
import { defineConfig } from 'vite';

export default defineConfig({
  logLevel: 'warn',
  // Whoever embeds the module finds the workers beside it, wherever that is.
  base: './',
  build: {
    target: 'es2024',
    outDir: 'dist/browser',
    emptyOutDir: false,
    sourcemap: true,
    rolldownOptions: { checks: { pluginTimings: false } },
    lib: { entry: 'src/browser/index.ts', formats: ['es'], fileName: 'index' },
  },
  worker: { format: 'es' },
});
