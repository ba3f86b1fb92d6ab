import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const segmentHeaderBytes = 4096;
const frameHeaderBytes = 64;
const entryHeaderBytes = 12;

/**
 * The records in the log of a data directory (docs/log-format.md), oldest first: `{ lsn, object, commit }`.
 * Reads only what the segments hold from their start on; checksums are the engine's business.
 */
export function logRecords(dataDirectory) {
  const folder = join(dataDirectory, 'log');
  const segments = readdirSync(folder).filter((name) => name.endsWith('.log')).sort();
  return segments.flatMap((name) => segmentRecords(readFileSync(join(folder, name))));
}

function segmentRecords(segment) {
  const records = [];
  for (let frame = segmentHeaderBytes; segment.toString('latin1', frame, frame + 4) === 'PRDF'; ) {
    const frameBytes = segment.readUInt32LE(frame + 8);
    const count = segment.readUInt32LE(frame + 12);
    let entry = frame + frameHeaderBytes;
    for (let i = 0; i < count; i++) {
      const record = entry + entryHeaderBytes;
      records.push({
        lsn: Number(segment.readBigUInt64LE(entry)),
        object: Number(segment.readBigUInt64LE(record + 16)),
        commit: Number(segment.readBigUInt64LE(record + 24)),
      });
      entry = record + segment.readUInt32LE(record);
    }
    frame += Math.ceil(frameBytes / 8) * 8;
  }
  return records;
}
