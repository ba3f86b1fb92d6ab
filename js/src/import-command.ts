/** `perdure import`: the objects of `wrangler dev`, of workerd and of an export for a project. */
import { resolve } from 'node:path';
import { progressBar } from './commands/progress.js';
import { findObjects, type FoundObject } from './import/find.js';
import { importObjects, type Imported, type ImportTarget, keysOf } from './import/import.js';
import type { Project } from './project.js';
import { loadNative } from './runtime/native.js';

/** Alarms that are named one by one. */
const ALARMS_NAMED_MAX = 10;

/** Imports what is below `source` into the data directory; -> what to print. Without a project every key is taken. */
export function runImport(source: string, project: Project | undefined, dataDirectory: string): string {
  const objects = findObjects(resolve(source));
  const bar = progressBar('importing', objects.length);
  let imported: Imported[];
  try {
    imported = importObjects({
      native: loadNative(),
      objects,
      targets: project === undefined ? everyKey(objects) : classesOf(project),
      projectName: project?.name ?? '',
      dataDirectory,
      progress: (done, { id }) => bar?.update(done, { id }),
    });
    bar?.update(objects.length, { id: 'done' });
  } finally {
    bar?.stop();
  }
  return summary(imported, dataDirectory);
}

function classesOf(project: Project): ImportTarget[] {
  return project.classes.map(({ className, key, storage }) => ({ key: `${project.name}-${key}`, className, storage }));
}

function everyKey(objects: FoundObject[]): ImportTarget[] {
  return keysOf(objects).map((key) => ({ key, className: key, storage: 'sqlite' }));
}

function summary(imported: Imported[], dataDirectory: string): string {
  const classes = new Map<string, number>();
  for (const { className } of imported) classes.set(className, (classes.get(className) ?? 0) + 1);
  const counts = [...classes].map(([name, count]) => `${count} of ${name}`).join(', ');
  const lines = [`Imported ${imported.length} ${imported.length === 1 ? 'object' : 'objects'} into ${dataDirectory}: ${counts}.`];
  const alarms = imported.filter(({ alarmMs }) => alarmMs !== undefined);
  if (alarms.length > 0) {
    lines.push(`${alarms.length} ${alarms.length === 1 ? 'has' : 'have'} an alarm, which rings when the project is served:`);
    for (const { object, className, alarmMs } of alarms.slice(0, ALARMS_NAMED_MAX)) lines.push(`  ${className} ${object.id} at ${new Date(alarmMs!).toISOString()}`);
    if (alarms.length > ALARMS_NAMED_MAX) lines.push(`  and ${alarms.length - ALARMS_NAMED_MAX} more`);
  }
  return lines.join('\n');
}
