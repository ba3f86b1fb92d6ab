// Alarms: arguments, transactions, what the handler sees, and when it runs again. For both kinds of storage.

/** What alarm() of the object with a name does; kept here, as a reset takes the instance. */
const handlers = new Map();
const HOUR_MS = 3_600_000;
/** Less than what a check may take. */
const RING_MS_MAX = 4_500;

/** For the class's method alarm(). */
export function onAlarm(self, ctx, info) {
  return handlers.get(ctx.id.name)?.(info, self, ctx);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `log` has so many entries; `wait` tells how many there are when that takes too long. */
async function entries(log, count) {
  for (const end = Date.now() + RING_MS_MAX; log.length < count && Date.now() < end; ) await pause(5);
  return log.length >= count ? log.slice(0, count) : `${log.length} of ${count}`;
}

const times = () => {
  const soon = Date.now() + HOUR_MS;
  const inAnHour = new Date(soon);
  return {
    'undefined': undefined, 'null': null, 'zero': 0, 'minus one': -1, 'minus a half': -0.5, 'a half': 0.5, 'NaN': NaN, 'Infinity': Infinity, '-Infinity': -Infinity,
    'a date as text': '2030-01-01', 'a number as text': '123', 'true': true, 'an object': {}, 'an array': [1], 'a bigint': 5n, 'a symbol': Symbol('x'),
    'an object with valueOf()': { valueOf: () => soon }, 'an invalid Date': new Date(NaN), 'the Date 0': new Date(0), 'a Date before 1970': new Date(-1),
    'a Date': inAnHour, 'a number': soon, 'a fraction': soon + 0.7, 'a far one': 7e12, 'the year 2190': Date.UTC(2190, 0, 1), 'too far': 1e20,
  };
};

const optionValues = { 'text': 'x', 'a number': 5, 'true': true, 'null': null, 'an object': {}, 'an array': [], 'a function': () => {}, 'undefined': undefined };

function addArguments(program, prefix, binding) {
  program.inObject(`${prefix}arguments`, async ({ check, storage }) => {
    const seen = async () => {
      const time = await storage.getAlarm();
      if (time === null) return null;
      return Math.abs(time - Date.now() - HOUR_MS) < 60_000 && Number.isInteger(time) ? 'in an hour' : time;
    };
    for (const [name, time] of Object.entries(times())) {
      await check(`setAlarm of ${name}`, async () => {
        const set = storage.setAlarm(time);
        await set;
        return seen();
      });
      await check(`getAlarm after ${name}`, seen);
      await storage.deleteAlarm();
    }
    await check('setAlarm without an argument', () => storage.setAlarm());
    await check('getAlarm of none', () => storage.getAlarm());
    await check('deleteAlarm of none', () => storage.deleteAlarm());
    await check('setAlarm gives', () => storage.setAlarm(Date.now() + HOUR_MS));
    for (const [name, options] of Object.entries(optionValues)) {
      await check(`setAlarm with options that are ${name}`, () => storage.setAlarm(Date.now() + HOUR_MS, options));
      await check(`getAlarm with options that are ${name}`, async () => (await storage.getAlarm(options)) !== null);
      await check(`deleteAlarm with options that are ${name}`, () => storage.deleteAlarm(options));
    }
    await check('options in use', async () => {
      await storage.setAlarm(Date.now() + HOUR_MS, { allowConcurrency: true, allowUnconfirmed: true });
      return (await storage.getAlarm({ allowConcurrency: true })) !== null;
    });
    for (const method of ['getAlarm', 'setAlarm', 'deleteAlarm']) check(`${method} without its object`, () => (0, storage[method])(Date.now() + HOUR_MS));
    await storage.deleteAlarm();
  }, binding);

  program.inObject(`${prefix}arguments of a transaction`, async ({ check, storage }) => {
    let kept;
    await storage.transaction(async (txn) => {
      kept = txn;
      for (const [name, time] of Object.entries({ zero: 0, NaN, text: 'x', undefined: undefined })) await check(`setAlarm of ${name}`, () => txn.setAlarm(time));
      await check('setAlarm without an argument', () => txn.setAlarm());
      await check('setAlarm', () => txn.setAlarm(Date.now() + HOUR_MS));
      await check('getAlarm', async () => (await txn.getAlarm()) !== null);
      await check('setAlarm with wrong options', () => txn.setAlarm(Date.now() + HOUR_MS, 5));
      await check('getAlarm with wrong options', () => txn.getAlarm(5));
      await check('deleteAlarm with wrong options', () => txn.deleteAlarm(5));
      await check('deleteAlarm', () => txn.deleteAlarm());
      await check('getAlarm of none', () => txn.getAlarm());
      txn.rollback();
      await check('setAlarm, rolled back', () => txn.setAlarm(Date.now() + HOUR_MS));
      await check('setAlarm of zero, rolled back', () => txn.setAlarm(0));
      await check('getAlarm, rolled back', () => txn.getAlarm());
      await check('deleteAlarm, rolled back', () => txn.deleteAlarm());
    });
    let ended;
    await storage.transaction(async (txn) => void (ended = txn));
    await check('setAlarm, ended', () => ended.setAlarm(Date.now() + HOUR_MS));
    await check('getAlarm, ended', () => ended.getAlarm());
    await check('deleteAlarm, ended', () => ended.deleteAlarm());
    check('without its object', () => (0, kept.getAlarm)());
  }, binding);
}

function addTransactions(program, prefix, binding, { sync }) {
  program.inObject(`${prefix}transactions`, async ({ check, storage }) => {
    const isSet = async () => (await storage.getAlarm()) !== null;
    const later = (hours = 1) => Date.now() + hours * HOUR_MS;
    const back = () => {
      throw new Error('back');
    };
    const thrownAway = (run) => storage.transaction(run).catch((error) => error.message);
    await check('set in one that throws', async () => [await thrownAway(async () => { await storage.setAlarm(later()); back(); }), await isSet()]);
    await check('set by txn in one that throws', async () => [await thrownAway(async (txn) => { await txn.setAlarm(later()); back(); }), await isSet()]);
    await check('set in one that rolls back', async () => { await storage.transaction(async (txn) => { await txn.setAlarm(later()); txn.rollback(); }); return isSet(); });
    await check('set in one', async () => { await storage.transaction(async (txn) => { await txn.setAlarm(later()); }); return isSet(); });
    await check('deleted in one that throws', async () => [await thrownAway(async (txn) => { await txn.deleteAlarm(); back(); }), await isSet()]);
    await check('replaced in one that throws', async () => {
      const before = await storage.getAlarm();
      await thrownAway(async (txn) => { await txn.setAlarm(later(2)); back(); });
      return (await storage.getAlarm()) === before;
    });
    await check('a nested one that throws', async () => {
      await storage.transaction(async (outer) => {
        await outer.setAlarm(later(3));
        await thrownAway(async (txn) => { await txn.deleteAlarm(); back(); });
      });
      return Math.round(((await storage.getAlarm()) - Date.now()) / HOUR_MS);
    });
    await check('deleted in one', async () => { await storage.transaction(async (txn) => { await txn.deleteAlarm(); }); return isSet(); });
    await check('a rolled back one never rings', async () => {
      const log = [];
      handlers.set(`${prefix}transactions`, () => void log.push('rings'));
      await thrownAway(async (txn) => { await txn.setAlarm(Date.now() + 5); back(); });
      await pause(100);
      return log;
    });
    if (!sync) return;
    await check('set in transactionSync that throws', async () => {
      try { storage.transactionSync(() => { storage.setAlarm(later()); back(); }); } catch {}
      return isSet();
    });
    await check('set in transactionSync', async () => { storage.transactionSync(() => { storage.setAlarm(later()); }); return isSet(); });
    await check('deleted in a nested transactionSync that throws', async () => {
      storage.transactionSync(() => { try { storage.transactionSync(() => { storage.deleteAlarm(); back(); }); } catch {} });
      return isSet();
    });
    await storage.deleteAlarm();
  }, binding);
}

function addHandler(program, prefix, binding) {
  const section = (name, run) => program.inObject(`${prefix}${name}`, (tools) => {
    const log = [];
    const handle = (handler) => handlers.set(`${prefix}${name}`, handler);
    return run({ ...tools, log, handle });
  }, binding);

  section('the handler', async ({ check, storage, log, handle, self, ctx, describe }) => {
    handle(async (...args) => {
      const [info, own] = args;
      log.push([own === self, ctx.id.name, info.constructor.name, String(info), Object.keys(info), info.retryCount, info.isRetry, typeof info.scheduledTime, await storage.getAlarm()]);
    });
    let at;
    await check('is told', async () => { at = Date.now() + 50; await storage.setAlarm(at); return entries(log, 1); });
    await check('no alarm is left', () => storage.getAlarm());
    await check('does not run again', async () => { await pause(100); return log.length; });
    await check('scheduledTime is what was set', async () => {
      const seen = [];
      handle((info) => void seen.push(info.scheduledTime - at, Date.now() >= at));
      at = Date.now() + 30;
      await storage.setAlarm(at);
      return entries(seen, 2);
    });
    await check('a time that has passed is now', async () => {
      const seen = [];
      const before = Date.now();
      handle((info) => void seen.push(info.scheduledTime >= before && info.scheduledTime <= Date.now()));
      await storage.setAlarm(1);
      return entries(seen, 1);
    });
    await check('getAlarm shows a time that has passed as now', async () => {
      const before = Date.now();
      handle(() => {});
      const set = storage.setAlarm(1);
      const time = await storage.getAlarm();
      await set;
      return time === null || (time >= before && time <= Date.now());
    });
    await pause(50);
    await check('replacing an alarm', async () => {
      const seen = [];
      handle((info) => void seen.push(info.scheduledTime - at));
      await storage.setAlarm(Date.now() + 20);
      at = Date.now() + 60;
      await storage.setAlarm(at);
      await pause(150);
      return seen;
    });
    await check('deleting an alarm', async () => {
      const seen = [];
      handle(() => void seen.push('rings'));
      await storage.setAlarm(Date.now() + 20);
      await storage.deleteAlarm();
      await pause(100);
      return seen;
    });
    await check('its result does not matter', async () => {
      const seen = [];
      handle(() => { seen.push('ran'); return { not: () => 'cloneable' }; });
      await storage.setAlarm(Date.now());
      await entries(seen, 1);
      await pause(50);
      return [seen, await storage.getAlarm()];
    });
    await check('ctx.waitUntil() in it', async () => {
      const seen = [];
      handle((info, own, ctx) => { ctx.waitUntil(pause(20).then(() => seen.push('later'))); seen.push('ran'); });
      await storage.setAlarm(Date.now());
      return entries(seen, 2);
    });
  });

  section('set in the handler', async ({ check, storage, log, handle }) => {
    await check('a new alarm rings', async () => {
      handle(async (info) => {
        log.push(info.retryCount);
        if (log.length < 3) await storage.setAlarm(Date.now() + 20);
      });
      await storage.setAlarm(Date.now());
      return entries(log, 3);
    });
    await check('getAlarm shows the new one', async () => {
      const seen = [];
      handle(async () => {
        const at = Date.now() + HOUR_MS;
        await storage.setAlarm(at);
        seen.push((await storage.getAlarm()) === at);
      });
      await storage.setAlarm(Date.now());
      return entries(seen, 1);
    });
    await check('and it stays', async () => (await storage.getAlarm()) !== null);
    await check('set and deleted', async () => {
      const seen = [];
      handle(async () => {
        await storage.setAlarm(Date.now() + 10);
        await storage.deleteAlarm();
        seen.push(await storage.getAlarm());
      });
      await storage.setAlarm(Date.now());
      await entries(seen, 1);
      await pause(100);
      return [seen, await storage.getAlarm()];
    });
    await check('set, then a throw, which is not tried again', async () => {
      const seen = [];
      handle(async (info) => {
        seen.push([info.retryCount, info.isRetry]);
        if (seen.length > 1) return;
        await storage.setAlarm(Date.now() + 30);
        throw new Error('thrown on purpose');
      });
      await storage.setAlarm(Date.now());
      await entries(seen, 2);
      await pause(100);
      return [seen, await storage.getAlarm()];
    });
    await check('set in a transaction that throws', async () => {
      const seen = [];
      handle(async () => {
        await storage.transaction(async (txn) => { await txn.setAlarm(Date.now() + 10); throw new Error('back'); }).catch(() => {});
        seen.push(await storage.getAlarm());
      });
      await storage.setAlarm(Date.now());
      await entries(seen, 1);
      await pause(100);
      return [seen, await storage.getAlarm()];
    });
  });

  section('a handler that throws', async ({ check, storage, handle }) => {
    const seen = [];
    let at;
    handle(async (info) => {
      seen.push([info.retryCount, info.isRetry, info.scheduledTime === at, Date.now()]);
      await storage.put('written', seen.length);
      if (seen.length === 1) throw new Error('thrown on purpose');
    });
    at = Date.now() + 20;
    await storage.setAlarm(at);
    await check('the first run', async () => (await entries(seen, 1)).map((run) => run.slice(0, 3)));
    await check('what it wrote stays', async () => { await pause(50); return storage.get('written'); });
    await check('between, getAlarm is the time that was set', async () => (await storage.getAlarm()) === at);
    await check('the second run', async () => (await entries(seen, 2)).map((run) => run.slice(0, 3)));
    await check('comes after two seconds or a little more', () => { const ms = seen[1][3] - seen[0][3]; return ms >= 1_900 && ms < 3_500; });
    await check('no alarm is left then', async () => { await pause(50); return storage.getAlarm(); });
  });

  section('between the retries', async ({ check, storage, handle }) => {
    await check('deleteAlarm cancels', async () => {
      const seen = [];
      handle(() => { seen.push('ran'); throw new Error('thrown on purpose'); });
      await storage.setAlarm(Date.now());
      await entries(seen, 1);
      await pause(50);
      await storage.deleteAlarm();
      await pause(3_000);
      return [seen, await storage.getAlarm()];
    });
    await check('a later setAlarm replaces', async () => {
      const seen = [];
      handle((info) => { seen.push(info.retryCount); if (seen.length === 1) throw new Error('thrown on purpose'); });
      await storage.setAlarm(Date.now());
      await entries(seen, 1);
      await pause(50);
      await storage.setAlarm(Date.now() + 3_000);
      return entries(seen, 2);
    });
  });

  section('deleted in the handler', async ({ check, storage, handle }) => {
    await check('deleteAlarm, then a throw, which is not tried again', async () => {
      const seen = [];
      handle(async () => { seen.push('ran'); await storage.deleteAlarm(); throw new Error('thrown on purpose'); });
      await storage.setAlarm(Date.now());
      await entries(seen, 1);
      await pause(3_000);
      return [seen, await storage.getAlarm()];
    });
  });

  section('the gate', async ({ check, storage, ctx, handle }) => {
    await check('the alarm waits for blockConcurrencyWhile', async () => {
      const seen = [];
      handle(() => void seen.push('alarm'));
      await ctx.blockConcurrencyWhile(async () => { await storage.setAlarm(Date.now()); await pause(100); seen.push('gate opens'); });
      return entries(seen, 2);
    });
    await check('deleted while it waits', async () => {
      const seen = [];
      handle(() => void seen.push('alarm'));
      await ctx.blockConcurrencyWhile(async () => { await storage.setAlarm(Date.now()); await pause(60); await storage.deleteAlarm(); });
      await pause(100);
      return seen;
    });
    await check('one handler at a time', async () => {
      const seen = [];
      handle(async (info, own) => {
        seen.push('begins');
        if (seen.length === 1) await storage.setAlarm(Date.now());
        await pause(60);
        seen.push('ends');
      });
      await storage.setAlarm(Date.now());
      return entries(seen, 4);
    });
    await check('other events go on meanwhile', async () => {
      const seen = [];
      handle(async () => { seen.push('alarm begins'); await pause(80); seen.push('alarm ends'); });
      await storage.setAlarm(Date.now());
      await entries(seen, 1);
      seen.push('event');
      return entries(seen, 3);
    });
  });
}

/** What deleteAll() does with the alarm depends on the compatibility date. */
export function addDeleteAllSection(program, prefix = '', binding = undefined) {
  program.inObject(`${prefix}deleteAll`, async ({ check, storage }) => {
    const isSet = async () => (await storage.getAlarm()) !== null;
    await check('with an alarm', async () => { await storage.put('a', 1); await storage.setAlarm(Date.now() + HOUR_MS); await storage.deleteAll(); return [await isSet(), (await storage.list()).size]; });
    await check('with an alarm of the same run', async () => { storage.setAlarm(Date.now() + HOUR_MS); await storage.deleteAll(); return isSet(); });
    await check('without one', async () => { await storage.deleteAlarm(); await storage.deleteAll(); return isSet(); });
    await check('setAlarm after it', async () => { await storage.deleteAll(); await storage.setAlarm(Date.now() + HOUR_MS); return isSet(); });
    await check('deleteAlarm and deleteAll', async () => { await storage.deleteAlarm(); await storage.deleteAll(); return isSet(); });
    await check('in the handler, then a throw', async () => {
      const seen = [];
      handlers.set(`${prefix}deleteAll`, async () => { seen.push('ran'); await storage.deleteAll(); if (seen.length === 1) throw new Error('thrown on purpose'); });
      await storage.setAlarm(Date.now());
      await entries(seen, 1);
      await pause(3_500);
      return [seen, await isSet()];
    });
  }, binding);
}

export function addAlarmSections(program, { prefix = '', binding, sync = true } = {}) {
  addArguments(program, prefix, binding);
  addTransactions(program, prefix, binding, { sync });
  addHandler(program, prefix, binding);
  addDeleteAllSection(program, prefix, binding);
}
