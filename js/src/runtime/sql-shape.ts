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
    make = new Function('v', 'i', rowMakerBody(names)) as MakeRow;
    if (rowMakers.size >= ROW_MAKERS_MAX) rowMakers.clear();
    rowMakers.set(key, make);
  }
  return make;
}

function rowMakerBody(names: string[]): string {
  const members = names.map((name, i) => `${JSON.stringify(name)}: v[i + ${i}]`);
  if (!names.includes('__proto__')) return `return { ${members.join(', ')} };`;
  // As in workerd, the column is assigned, which is no member; a literal would take that name only once.
  return `const row = {}; ${names.map((name, i) => `row[${JSON.stringify(name)}] = v[i + ${i}];`).join(' ')} return row;`;
}

/** The columns of a result. */
export class Shape {
  readonly makeRow: MakeRow;

  constructor(readonly names: string[]) {
    this.makeRow = rowMaker(names);
  }
}
