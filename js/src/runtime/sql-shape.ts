/** What the rows of a result look like, and how they are made from the flat cells of a batch. */

export type SqlValue = ArrayBuffer | string | number | null;
export type Row = Record<string, SqlValue>;

type MakeRow = (values: SqlValue[], at: number) => Row;

/** One for each list of column names, for all objects: generating code costs more than running it. */
const rowMakers = new Map<string, MakeRow>();
const ROW_MAKERS_MAX = 1000;

function rowMaker(names: string[]): MakeRow {
  const key = JSON.stringify(names);
  let make = rowMakers.get(key);
  if (make === undefined) {
    // "__proto__" without brackets would set the prototype; with them every name would be slower.
    const quoted = (name: string): string => (name === '__proto__' ? '["__proto__"]' : JSON.stringify(name));
    const members = names.map((name, i) => `${quoted(name)}: v[i + ${i}]`);
    make = new Function('v', 'i', `return { ${members.join(', ')} };`) as MakeRow;
    if (rowMakers.size >= ROW_MAKERS_MAX) rowMakers.clear();
    rowMakers.set(key, make);
  }
  return make;
}

/** The columns of a result. */
export class Shape {
  readonly makeRow: MakeRow;

  constructor(readonly names: string[]) {
    this.makeRow = rowMaker(names);
  }
}
