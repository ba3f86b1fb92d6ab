/** The program of a server process of `perdure dev` (dev/server-process.ts): serves one version until it is told to stop. */
import process from 'node:process';
import { parseCron } from './config/cron.js';
import type { Order, Report } from './dev/server-process.js';
import { explain, explainRecovery } from './explain.js';
import { type RunningServer, type ServerOptions, startServer } from './server.js';

let server: RunningServer | undefined;

/** The crons have methods, which do not come through the channel. */
function withCrons(options: ServerOptions): ServerOptions {
  const { project } = options;
  return { ...options, project: { ...project, crons: project.crons.map(({ expression }) => parseCron(expression)) } };
}

async function serve(options: ServerOptions, userDirectories: string[]): Promise<Report> {
  try {
    server = await startServer(withCrons(options));
    const notice = explainRecovery(server.recovery);
    return notice === undefined ? { port: server.port } : { port: server.port, notice };
  } catch (error) {
    return { failure: explain(error, userDirectories) };
  }
}

async function stop(): Promise<never> {
  try {
    await server?.stop();
  } catch (error) {
    console.error(`perdure: ${explain(error, [])}`);
  }
  process.exit();
}

process.setSourceMapsEnabled(true);
// The terminal and service managers send these to all processes of a group: the parent alone says when to stop.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('message', (order: Order<ServerOptions>) => {
  if ('stop' in order) void stop();
  else void serve(order.serve, order.userDirectories).then((report) => process.send!(report));
});
// The parent is gone, however that came about: nothing may go on holding the data directory. What was
// acknowledged is durable.
process.once('disconnect', () => process.exit());
