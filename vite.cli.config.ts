/** Bundles the program's first file with the light commands (src/cli/main.ts); what they do not need stays as the compiler left it. */
import { defineConfig, type Plugin } from 'vite';

/** Leaves the import of everything else in place. */
const leaveTheRest: Plugin = {
  name: 'leave-the-rest',
  enforce: 'pre',
  resolveId: (id) => (id === './full.ts' ? { id: './full.js', external: true } : undefined),
};

/**
 * Takes Node's own modules as they are: an `import` of one reads all that it exports, and so loads further ones. A Node that cannot
 * do that is too old, and has to get as far as to say so.
 */
const plainModules: Plugin = {
  name: 'plain-modules',
  renderChunk(code) {
    const changed = code.replaceAll(
      /^import \{([^}]*)\} from "(node:[\w/]+)";$/gm,
      (_, names: string, module: string) =>
        `const {${names.replaceAll(' as ', ': ')}} = process.getBuiltinModule?.("${module}") ?? {};`,
    );
    // Lines stay where they are.
    return { code: changed, map: null };
  },
};

export default defineConfig({
  logLevel: 'warn',
  plugins: [leaveTheRest, plainModules],
  build: {
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
