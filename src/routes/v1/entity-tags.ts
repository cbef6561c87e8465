import type { IncomingHttpHeaders } from "node:http";

/** A version as a strong entity tag (RFC 9110 §8.8.3). */
export const etagOf = (version: string): string => `"${version}"`;

/** Strong or weak tags in a list. */
const TAG = /(?:W\/)?"[^"]*"/g;

/**
 * What If-Match and If-None-Match ask of the version that is there, null for none (RFC 9110 §13.1). `*` is any version
 * at all. If-Match compares strongly: a weak tag never matches.
 */
export function preconditionOf(headers: IncomingHttpHeaders): (version: string | null) => boolean {
  const match = headers["if-match"];
  const noneMatch = headers["if-none-match"];
  return (version) =>
    (match === undefined || names(match, version, true)) &&
    (noneMatch === undefined || !names(noneMatch, version, false));
}

/** Whether If-None-Match says that the client has this version already. */
export const isKnown = ({ "if-none-match": noneMatch }: IncomingHttpHeaders, version: string): boolean =>
  noneMatch !== undefined && names(noneMatch, version, false);

function names(header: string, version: string | null, strong: boolean): boolean {
  if (version === null) return false;
  if (header.trim() === "*") return true;
  const tags = header.match(TAG) ?? [];
  return tags.some((one) => (strong ? one : one.replace(/^W\//, "")) === etagOf(version));
}
