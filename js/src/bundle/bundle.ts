import { basename, join } from 'node:path';
import { build, type BuildFailure, type BuildOptions, type Message } from 'esbuild';
import { ProjectError } from '../config/error.js';
import type { Project } from '../config/wrangler.js';
import { modulePlugins } from './modules.js';

/** How a project becomes one ES module for Node.js, `worker.mjs` in `outDirectory`, with a linked source map. */
export function buildOptions(project: Project, outDirectory: string) {
  return {
    entryPoints: [project.main],
    outfile: join(outDirectory, 'worker.mjs'),
    absWorkingDir: project.directory,
    bundle: true,
    format: 'esm',
    target: 'node20',
    sourcemap: 'linked',
    logLevel: 'silent',
    charset: 'utf8',
    // What wrangler resolves packages by, so that the same file of a package is taken.
    platform: 'neutral',
    conditions: ['workerd', 'worker', 'browser', 'import'],
    mainFields: ['browser', 'module', 'main'],
    loader: {
      '.js': 'jsx',
      '.mjs': 'jsx',
      '.cjs': 'jsx',
      '.txt': 'text',
      '.html': 'text',
      '.sql': 'text',
    },
    define: {
      'navigator.userAgent': '"Cloudflare-Workers"',
      'process.env.NODE_ENV': JSON.stringify(process.env['NODE_ENV'] ?? 'production'),
    },
    plugins: modulePlugins(),
  } satisfies BuildOptions;
}

/** Bundles the project's entry module and everything it imports. Throws ProjectError with every mistake esbuild found. */
export async function bundleProject(
  project: Project,
  outDirectory: string,
): Promise<{ file: string }> {
  const options = buildOptions(project, outDirectory);
  try {
    await build(options);
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    throw new ProjectError(error.errors.map((message) => format(project, message)).join('\n'));
  }
  return { file: options.outfile };
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && Array.isArray((error as Partial<BuildFailure>).errors);
}

function format(project: Project, message: Message): string {
  const { location } = message;
  if (!location) return `${basename(project.main)}: ${message.text}`;
  // esbuild counts columns in bytes from 0; editors count from 1.
  const column = Buffer.from(location.lineText).subarray(0, location.column).toString().length + 1;
  const file = join(project.directory, location.file);
  return `${file}:${location.line}:${column}: ${message.text}`;
}
