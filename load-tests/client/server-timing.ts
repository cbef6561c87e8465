/** Milliseconds of an answer's stages, as `server-timing` gives them. */
export interface Stages {
  readonly decode: number;
  readonly queue: number;
  readonly encode: number;
  readonly write: number;
  readonly total: number;
}

const NAMES = ["decode", "queue", "encode", "write", "total"] as const;

/** @throws Error when a stage is missing: an answer without its times is a fault of the server */
export function stagesOf(header: string): Stages {
  const found = new Map([...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, value]) => [name!, Number(value)]));
  const stages = NAMES.map((name): [string, number] => {
    const value = found.get(name);
    if (value === undefined) throw new Error(`server-timing says nothing of ${name}: ${header}`);
    return [name, value];
  });
  return Object.fromEntries(stages) as unknown as Stages;
}
