// The library's half of GET /version; see handlers/version.js.
export const LIBVERSION = 1;
