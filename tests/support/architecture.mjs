// Which part of the code may use which. The arrows point one way; see docs/architecture.md.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

/**
 * A folder of `src/` and the others it may include from. `perdure` is `include/perdure/`, what C++ programs see: src/native
 * makes it, and of the rest only the errors are needed below it.
 */
const nativeArrows = {
  base: ['perdure/error.h'],
  log: ['base'],
  store: ['base', 'log'],
  object: ['base'],
  runtime: ['base', 'log', 'store', 'object'],
  front: ['base'],
  native: ['base', 'log', 'store', 'object', 'runtime', 'front', 'perdure'],
  node: ['base', 'log', 'store', 'object', 'runtime', 'front'],
};

/** Headers that belong to some folders alone: what they are, where they may be, and why. */
const reservedHeaders = [
  [/^(node_api|js_native_api|napi)\w*\.h$/, ['node'], 'nothing below the hosts knows JavaScript'],
  [/^boost\/(asio|beast)/, ['front', 'native'], 'the network is the front and the native host'],
  [
    /^(thread|mutex|shared_mutex|condition_variable|fstream|filesystem|unistd\.h|fcntl\.h|sys\/.*)$/,
    Object.keys(nativeArrows).filter((folder) => folder !== 'object'),
    'object/ has no threads and does no I/O',
  ],
];

/**
 * A folder of `js/src/` and the others it may import from. The files directly in `js/src/` are the
 * ways in: they may import everything, and no folder imports them.
 */
const scriptArrows = {
  config: [],
  bundle: ['config'],
  dev: ['bundle', 'config'],
  runtime: [],
  library: ['runtime'],
  import: ['runtime'],
  operate: ['runtime'],
  commands: ['operate', 'runtime'],
};

function filesBelow(directory, pattern) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true })
    .filter((path) => pattern.test(path))
    .map((path) => path.replaceAll('\\', '/'))
    .sort();
}

function matches(text, pattern) {
  return text
    .split('\n')
    .flatMap((line, index) => [...line.matchAll(pattern)].map((match) => [index + 1, match[1]]));
}

function nativeViolations(root) {
  const violations = [];
  for (const path of filesBelow(join(root, 'src'), /\.(h|cc)$/)) {
    const folder = path.split('/')[0];
    const allowed = nativeArrows[folder];
    const text = readFileSync(join(root, 'src', path), 'utf8');
    if (!allowed) violations.push(`src/${path}: the folder src/${folder} has no place in the architecture`);
    for (const [line, header] of matches(text, /^\s*#\s*include\s*["<]([^">]+)[">]/g)) {
      const target = header.split('/')[0];
      const ours = header.includes('/') && (target in nativeArrows || target === 'perdure');
      if (ours && target !== folder && !allowed?.includes(target) && !allowed?.includes(header)) {
        violations.push(`src/${path}:${line}: ${folder} may not include "${header}"`);
      }
      for (const [pattern, folders, reason] of reservedHeaders) {
        if (pattern.test(header) && !folders.includes(folder)) {
          violations.push(`src/${path}:${line}: ${folder} may not include <${header}>: ${reason}`);
        }
      }
    }
  }
  for (const path of filesBelow(join(root, 'include'), /\.h$/)) {
    const text = readFileSync(join(root, 'include', path), 'utf8');
    for (const [line, header] of matches(text, /^\s*#\s*include\s*"([^"]+)"/g)) {
      if (!header.startsWith('perdure/')) {
        violations.push(`include/${path}:${line}: a public header may not include "${header}"`);
      }
    }
    for (const [line, header] of matches(text, /^\s*#\s*include\s*<([^>]+)>/g)) {
      if (!/^[a-z_]+$/.test(header)) violations.push(`include/${path}:${line}: a public header may include the standard library alone, not <${header}>`);
    }
  }
  return violations;
}

function scriptViolations(root) {
  const violations = [];
  const source = join(root, 'js/src');
  for (const path of filesBelow(source, /\.ts$/)) {
    if (!path.includes('/')) continue;
    const folder = path.split('/')[0];
    const text = readFileSync(join(source, path), 'utf8');
    if (!(folder in scriptArrows)) {
      violations.push(`js/src/${path}: the folder js/src/${folder} has no place in the architecture`);
    }
    for (const [line, module] of matches(text, /(?:\bfrom|\bimport)\s*\(?\s*['"](\.[^'"]*)['"]/g)) {
      const target = posix.join(dirname(path), module);
      const targetFolder = target.includes('/') ? target.split('/')[0] : '';
      if (targetFolder === '..') {
        violations.push(`js/src/${path}:${line}: "${module}" is outside js/src`);
      } else if (targetFolder !== folder && !scriptArrows[folder]?.includes(targetFolder)) {
        violations.push(`js/src/${path}:${line}: ${folder} may not import "${module}"`);
      }
    }
  }
  return violations;
}

/** Every `#include` and import below `root` that goes against the arrows, with its place. */
export function findViolations(root) {
  return [...nativeViolations(root), ...scriptViolations(root)];
}
