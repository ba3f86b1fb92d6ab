/** The package `perdure`: objects in a process of one's own. Its types are js/types/index.d.ts. */
export { open } from './library/registry.js';
