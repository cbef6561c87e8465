import type { EngineError } from "../../engine/core/errors.ts";
import { type ProblemCode, problemTypeOf, PROBLEMS } from "../problem.ts";

export interface Fault {
  readonly code: ProblemCode;
  readonly message: string;
}

export const faultOf = ({ code, message }: EngineError): Fault => ({ code, message });

/** A problem within a stream: the fields of a problem, but for the request's id, which its headers have. */
export function problemLine({ code, message }: Fault): object {
  const { status, title } = PROBLEMS[code];
  return { type: problemTypeOf(code), title, status, code, detail: message };
}
