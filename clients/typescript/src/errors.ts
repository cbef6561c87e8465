import type { Problem } from "./schema.ts";

/** A refusal or failure that the server told of (RFC 9457). */
export class PursuitError extends Error {
  override readonly name = "PursuitError";
  readonly status: number;
  /** Stable, such as PURSUIT_INVALID_ROWS; PURSUIT_UNKNOWN where the answer was not the server's own. */
  readonly code: string;
  /** What is wrong, where, and what to do. */
  readonly detail: string;
  /** Finds the request in the server's log. */
  readonly requestId: string | undefined;

  constructor(status: number, problem: Partial<Problem>) {
    const { code = "PURSUIT_UNKNOWN", detail = `The server answered ${status}.`, request_id: requestId } = problem;
    super(`${code}: ${detail}`);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.requestId = requestId;
  }

  /** The error of an answer that is not 2xx. */
  static async of(answer: Response): Promise<PursuitError> {
    const text = await answer.text();
    try {
      return new PursuitError(answer.status, JSON.parse(text) as Partial<Problem>);
    } catch {
      // A proxy's page, say.
      return new PursuitError(answer.status, { detail: `The server answered ${answer.status}: ${text.slice(0, 200)}` });
    }
  }
}
