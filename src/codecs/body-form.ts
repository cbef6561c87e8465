/** How the bytes of a body are to be read: what its content type and query said, without HTTP's names. */
export const BODY_TYPES = ["json", "msgpack", "octet-stream"] as const;
export type BodyType = (typeof BODY_TYPES)[number];

/** A query string, parsed: a name given twice holds a list. */
export type Query = Readonly<Record<string, string | readonly string[]>>;

/** Sizes of a dictionary. */
export interface Sizes {
  /** Row length. */
  readonly d: number;
  /** Atoms. */
  readonly m: number;
}

export type BodyForm = {
  /** Of the dictionary in the path, or the largest that the body may name; null where they are not known yet. */
  readonly sizes: Sizes | null;
} & (
  | { readonly type: "json" | "msgpack" }
  | {
      readonly type: "octet-stream";
      /** Holds `dtype`, `rows` and every field that another body would hold itself. */
      readonly query: Query;
      /** Row length that the bytes must have; null: as `rows` says. */
      readonly width: number | null;
    }
);
