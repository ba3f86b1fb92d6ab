/** A user's project: what its wrangler file says, and its code as one module. */
export { bundleProject } from './bundle/bundle.js';
export { type BuildOutcome, watchProject } from './bundle/watch.js';
export { ProjectError } from './config/error.js';
export { loadProject, type Project } from './config/wrangler.js';
