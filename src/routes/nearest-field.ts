import leven from "leven";
import type { TSchema } from "typebox";

/** The parts of a JSON schema used here. */
interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** Longer than any field's name: a client's may be a megabyte. */
const LONGEST = 40;

/**
 * Finds the known field that a client most likely meant: the same name in another place, or a name with a typing error,
 * in the same place first.
 * @param place path of the object that holds the unknown field, without indices: "" or "budget"
 * @returns its path, such as `budget.max_atoms`; null if no field is near
 */
export function nearestField(schema: TSchema, place: string, unknown: string): string | null {
  if (unknown.length > LONGEST) return null;
  const name = plain(unknown);
  const fields = [...pathsOf(schema as Node, "")]
    .map((path) => ({ path, name: plain(path.slice(path.lastIndexOf(".") + 1)) }))
    .map((field) => ({ ...field, distance: leven(name, field.name), beside: parentOf(field.path) === place }))
    // One letter, or two swapped ones.
    .filter((field) => field.distance <= (name.length > 4 ? 2 : 1) && field.distance < field.name.length);
  const [best] = fields.toSorted(
    (a, b) =>
      Number(b.distance === 0) - Number(a.distance === 0) ||
      Number(b.beside) - Number(a.beside) ||
      a.distance - b.distance ||
      a.path.length - b.path.length,
  );
  return best?.path ?? null;
}

/** Treats `maxAtoms`, `max-atoms` and `max_atoms` as equal. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[_\s-]/g, "");

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("."), 0));

/** Paths of all fields; fields of a list's items count as the list's. */
function* pathsOf({ properties = {}, items, anyOf = [] }: Node, place: string): Generator<string> {
  for (const [name, node] of Object.entries(properties)) {
    const path = place === "" ? name : `${place}.${name}`;
    yield path;
    yield* pathsOf(node, path);
  }
  for (const node of items === undefined ? anyOf : [items, ...anyOf]) yield* pathsOf(node, place);
}
