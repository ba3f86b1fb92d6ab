import { readFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import type { Plugin } from 'esbuild';

/**
 * Perdure's own module behind `cloudflare:workers`: the file that is already loaded in this process,
 * not a copy in the bundle, so that `DurableObject` is one class.
 */
const workersModule = new URL('./workers.js', import.meta.url).href;

/** How the imports that are not plain JavaScript or text are served. */
export function modulePlugins(): Plugin[] {
  return [cloudflareModules, nodeModules, dataModules];
}

const cloudflareModules: Plugin = {
  name: 'cloudflare-modules',
  setup(build) {
    build.onResolve({ filter: /^cloudflare:/ }, ({ path }) => {
      if (path === 'cloudflare:workers') return { path: workersModule, external: true };
      return {
        errors: [
          { text: `the module "${path}" is not served by Perdure (only "cloudflare:workers" is)` },
        ],
      };
    });
  },
};

/** The modules that come with Node.js, with and without `node:`. */
const nodeModules: Plugin = {
  name: 'node-modules',
  setup(build) {
    const bareNames = new Set(builtinModules);
    build.onResolve({ filter: /^node:|^[a-z]/ }, ({ path, kind }) => {
      if (!path.startsWith('node:') && !bareNames.has(path)) return undefined;
      const module = path.startsWith('node:') ? path : `node:${path}`;
      if (kind === 'require-call') return { path: module, namespace: 'node-require' };
      return { path: module, external: true };
    });
    // An ES module has no `require`: give the CommonJS packages inside the bundle what an import finds.
    build.onLoad({ filter: /.*/, namespace: 'node-require' }, ({ path }) => ({
      contents: `import found from ${JSON.stringify(path)}; module.exports = found;`,
      loader: 'js',
    }));
  },
};

/** `.bin` is an `ArrayBuffer` and `.wasm` a `WebAssembly.Module`, as wrangler's default rules say. */
const dataModules: Plugin = {
  name: 'data-modules',
  setup(build) {
    build.onLoad({ filter: /\.(bin|wasm)$/ }, async ({ path }) => {
      const bytes = (await readFile(path)).toString('base64');
      const wrap = path.endsWith('.wasm') ? 'new WebAssembly.Module(bytes)' : 'bytes.buffer';
      return {
        contents: `const text = atob("${bytes}");
const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
export default ${wrap};`,
        loader: 'js',
        watchFiles: [path],
      };
    });
  },
};
