/** How the bytes of a body are to be read: what its content type and query said, without HTTP's names. */
export const BODY_TYPES = ["json", "msgpack", "octet-stream"] as const;
export type BodyType = (typeof BODY_TYPES)[number];

/** A query string, parsed: a name given twice holds a list. */
export type Query = Readonly<Record<string, string | readonly string[]>>;

export type BodyForm =
  | { readonly type: "json" | "msgpack" }
  | {
      readonly type: "octet-stream";
      /** Holds `dtype`, `rows` and every field that another body would hold itself. */
      readonly query: Query;
      /** Row length of the dictionary; null where it is not known yet. */
      readonly width: number | null;
    };
