/** Edits of a steering request as the page keeps them: in the address, a line each. */

/** `about`: what it does to the coefficient, or to the row. */
export const OPS = [
  { op: "add", name: "add", value: "value", about: "adds to its coefficient" },
  { op: "set", name: "set to", value: "value", about: "sets its coefficient" },
  { op: "scale", name: "scale by", value: "value", about: "multiplies its coefficient" },
  { op: "remove", name: "remove", value: null, about: "its coefficient becomes 0" },
  {
    op: "add_direction",
    name: "add direction",
    value: "strength",
    about: "adds its vector to the row, of unit length, times this",
  },
  { op: "project_out", name: "project out", value: null, about: "takes what the row has along its vector" },
] as const;
export type Op = (typeof OPS)[number]["op"];

export interface Edit {
  readonly feature: number;
  readonly op: Op;
  readonly value: number;
}

const opOf = (op: string) => OPS.find((one) => one.op === op);

/** `447.remove~890.add.0.6` */
export const editsToText = (edits: readonly Edit[]): string =>
  edits.map(({ feature, op, value }) => `${feature}.${op}${opOf(op)?.value === null ? "" : `.${value}`}`).join("~");

/** The inverse; what cannot be read is left out. */
export function editsFromText(text: string): Edit[] {
  return text.split("~").flatMap((part) => {
    const [, feature, op = "", value] = /^(\d{1,10})\.([a-z_]+)(?:\.(-?[\d.eE+-]+))?$/.exec(part) ?? [];
    const known = opOf(op);
    const number = value === undefined ? 1 : Number(value);
    return feature === undefined || known === undefined || !Number.isFinite(number)
      ? []
      : [{ feature: Number(feature), op: known.op, value: number }];
  });
}

/** As the request has it. */
export const editWire = ({ feature, op, value }: Edit): Readonly<Record<string, unknown>> => {
  const field = opOf(op)?.value ?? null;
  return { feature, op, ...(field !== null && { [field]: value }) };
};

/** The inverse; where the view has no form for an edit, what it is. */
export function editsFromWire(edits: readonly Readonly<Record<string, unknown>>[]): Edit[] | string {
  const read: Edit[] = [];
  for (const [i, { op, feature, ...fields }] of edits.entries()) {
    const known = opOf(String(op));
    const field = known?.value ?? null;
    const value = field === null ? 1 : fields[field];
    const more = Object.keys(fields).filter((name) => name !== field);
    if (known === undefined || typeof feature !== "number" || typeof value !== "number" || more.length > 0) {
      const what = [
        String(op),
        ...(typeof feature === "number" ? [] : ["along a vector"]),
        ...more.map((name) => `with ${name}`),
      ];
      return `edit ${i + 1} is ${what.join(" ")}, and this view has no form for it`;
    }
    read.push({ feature, op: known.op, value });
  }
  return read;
}

/** A feature before and after. */
export interface Moved {
  readonly feature: number;
  readonly before: number;
  readonly after: number;
  readonly asked: boolean;
}

/** The largest changes first, those that were asked for before all others. */
export const inOrder = (moved: readonly Moved[]): Moved[] =>
  moved.toSorted(
    (a, b) => Number(b.asked) - Number(a.asked) || Math.abs(b.after - b.before) - Math.abs(a.after - a.before),
  );
