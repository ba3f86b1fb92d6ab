/** What operators may ask for, in a module of its own: the command line has it without loading what it runs. */

/** Commits that one list may have. */
export const COMMITS_MAX = 1_000_000;
