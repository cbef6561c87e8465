/** Written in place of a secret. */
export const REDACTED = "[redacted]";

/** One character of a secret, as it is or percent-encoded. */
function character(plain: string): string {
  const code = plain.charCodeAt(0).toString(16).padStart(2, "0");
  const hex = code.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);
  return `(?:${plain.replace(/[^\w]/, "\\$&")}|%${hex})`;
}

/** Returns a function that removes the secrets from a text, also inside URLs. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const longestFirst = secrets.filter((secret) => secret !== "").toSorted((a, b) => b.length - a.length);
  if (longestFirst.length === 0) return (text) => text;
  const anywhere = new RegExp(longestFirst.map((secret) => secret.replace(/./gs, character)).join("|"), "g");
  return (text) => text.replace(anywhere, REDACTED);
}
