/** One step of `migrations`, checked for its types but not yet against the steps before it. */
export interface Migration {
  tag: string;
  new_sqlite_classes: string[];
  new_classes: string[];
  renamed_classes: { from: string; to: string }[];
  deleted_classes: string[];
}

export interface ClassDeclaration {
  className: string;
  storage: 'sqlite' | 'kv';
  /**
   * Names the storage of the class for good: the name that the class was created with, whatever it was
   * renamed to later. A class that is created under a name that was used before gets a number
   * behind it, so that it never sees the objects of the earlier one.
   */
  key: string;
}

/** Where in a migration a mistake is, as a path below `migrations`. */
export class MigrationMistake extends Error {
  constructor(
    readonly path: (string | number)[],
    message: string,
  ) {
    super(message);
  }
}

/** Applies the steps in order and returns the classes there are at the end. */
export function applyMigrations(migrations: Migration[]): ClassDeclaration[] {
  const classes = new Map<string, ClassDeclaration>();
  const created = new Map<string, number>();
  const tags = new Set<string>();

  const create = (className: string, storage: 'sqlite' | 'kv', path: (string | number)[]): void => {
    if (classes.has(className)) {
      throw new MigrationMistake(path, `the class "${className}" is created by an earlier migration`);
    }
    const count = (created.get(className) ?? 0) + 1;
    created.set(className, count);
    const key = count === 1 ? className : `${className}.${count}`;
    classes.set(className, { className, storage, key });
  };

  for (const [step, migration] of migrations.entries()) {
    if (tags.has(migration.tag)) {
      throw new MigrationMistake([step, 'tag'], `the migration tag "${migration.tag}" is there twice`);
    }
    tags.add(migration.tag);
    for (const [index, name] of migration.new_sqlite_classes.entries()) {
      create(name, 'sqlite', [step, 'new_sqlite_classes', index]);
    }
    for (const [index, name] of migration.new_classes.entries()) {
      create(name, 'kv', [step, 'new_classes', index]);
    }
    for (const [index, { from, to }] of migration.renamed_classes.entries()) {
      const path = [step, 'renamed_classes', index];
      const renamed = classes.get(from);
      if (!renamed) {
        throw new MigrationMistake(path, `the class "${from}" cannot be renamed: no migration creates it`);
      }
      if (classes.has(to)) {
        throw new MigrationMistake(path, `the class "${from}" cannot be renamed to "${to}": it exists`);
      }
      classes.delete(from);
      classes.set(to, { ...renamed, className: to });
    }
    for (const [index, name] of migration.deleted_classes.entries()) {
      if (!classes.delete(name)) {
        throw new MigrationMistake(
          [step, 'deleted_classes', index],
          `the class "${name}" cannot be deleted: no migration creates it`,
        );
      }
    }
  }
  return [...classes.values()];
}
