/** Bundles a project again and again, as its files change. */
import { type BuildContext, context, formatMessages, type OutputFile, type Plugin } from 'esbuild';
import type { Project } from '../config/wrangler.js';
import { buildOptions } from './bundle.js';

/** What one build came to: the files of the bundle, or the mistakes, each with its place and the lines around it. */
export type BuildOutcome = { files: OutputFile[]; mistakes?: undefined } | { files?: undefined; mistakes: string[] };

/**
 * Calls `onBuild` for a first build, and for one after each change of a file that went into the last: one that
 * was missing, a package, and the configuration file too. Nothing is written: `outDirectory` is what the paths of
 * the files and in the source map begin with, so a folder beside it can hold them. The caller disposes of the context.
 */
export async function watchProject(
  project: Project,
  outDirectory: string,
  color: boolean,
  onBuild: (outcome: BuildOutcome) => void,
): Promise<BuildContext> {
  const options = buildOptions(project, outDirectory);
  const watching: Plugin = {
    name: 'watching',
    setup(build) {
      // One watcher is enough: the configuration file counts as a part of the entry module.
      build.onResolve({ filter: /.*/ }, ({ kind }) => (kind === 'entry-point' ? { watchFiles: [project.configFile] } : undefined));
      build.onEnd(async ({ errors, outputFiles }) => {
        if (errors.length === 0) onBuild({ files: outputFiles! });
        else onBuild({ mistakes: await formatMessages(errors, { kind: 'error', color }) });
      });
    },
  };
  const watched = await context({ ...options, write: false, plugins: [watching, ...options.plugins] });
  await watched.watch();
  return watched;
}
