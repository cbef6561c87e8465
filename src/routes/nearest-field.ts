import leven from "leven";
import type { TSchema } from "typebox";

/** What this module reads of a JSON schema. */
interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** Longer names than any field's: a client's own word may be a megabyte. */
const LONGEST = 40;

/**
 * The field that a client most likely meant by one that does not exist: the same name in another place, or a name that is
 * a slip of the keyboard away, in the same place first.
 * @param place path of the object that holds the unknown field, without indices: "" or "budget"
 * @returns its path, such as `budget.max_atoms`; null where no field is near
 */
export function nearestField(schema: TSchema, place: string, unknown: string): string | null {
  if (unknown.length > LONGEST) return null;
  const name = plain(unknown);
  const fields = [...pathsOf(schema as Node, "")]
    .map((path) => ({ path, name: plain(path.slice(path.lastIndexOf(".") + 1)) }))
    .map((field) => ({ ...field, distance: leven(name, field.name), beside: parentOf(field.path) === place }))
    // A letter, or two that were swapped.
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

/** `maxAtoms`, `max-atoms` and `max_atoms` are one name. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[_\s-]/g, "");

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("."), 0));

/** Paths of all fields, those of a list's items as the list's own. */
function* pathsOf({ properties = {}, items, anyOf = [] }: Node, place: string): Generator<string> {
  for (const [name, node] of Object.entries(properties)) {
    const path = place === "" ? name : `${place}.${name}`;
    yield path;
    yield* pathsOf(node, path);
  }
  for (const node of items === undefined ? anyOf : [items, ...anyOf]) yield* pathsOf(node, place);
}
