/** For what programs of Cloudflare may use and Perdure does not have yet. */
export const absent = (what: string): Error => new Error(`${what} is not served by this version of Perdure.`);
