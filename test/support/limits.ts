import { rowsExtent } from "../../src/codecs/extent.ts";
import type { BodyLimits } from "../../src/codecs/codec-error.ts";

/** The server's own body limits. */
export const BODY_LIMITS: BodyLimits = { maxRows: 16_384, maxUnpacked: 256 << 20 };

/** What a body of rows may hold under these limits. */
export const ROWS_EXTENT = rowsExtent(BODY_LIMITS, 384);
