const threadOf = '() => process.getBuiltinModule("node:worker_threads").threadId';

/** Names of two objects on different threads of a lab (lab.mjs), neither of which is the main one, and of one beside the first. */
export async function placed(lab) {
  const byThread = new Map();
  for (let n = 0; n < 40; n++) {
    const name = `placed ${n}`;
    const thread = await lab.object(name, threadOf);
    byThread.set(thread, [...(byThread.get(thread) ?? []), name]);
  }
  const [[here, beside], [there]] = [...byThread].filter(([thread]) => thread !== 0).map(([, names]) => names);
  return { here, beside, there };
}
