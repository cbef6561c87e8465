import type { ComponentChildren } from "preact";
import type { Answer } from "../api/answer.ts";
import type { Problem } from "../api/client.ts";

/** Why a part of the page shows nothing, and what to do. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="state">
      <p class="state-title">{title}</p>
      {children !== undefined && <div class="state-text">{children}</div>}
    </div>
  );
}

export function Fault({ fault, retry }: { readonly fault: Problem; readonly retry?: () => void }) {
  return (
    <div class="state state-fault" role="alert">
      <p class="state-title">{fault.status === 0 ? "No answer" : "The server refused"}</p>
      <p class="state-text">{fault.message}</p>
      {fault.requestId !== undefined && (
        <p class="state-fine">
          {fault.code} · request {fault.requestId}
        </p>
      )}
      {retry && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Grey lines where content is about to be. */
export function Waiting({ lines = 6, what }: { readonly lines?: number; readonly what: string }) {
  return (
    <div class="waiting" role="status" aria-label={`Loading ${what}`}>
      {Array.from({ length: lines }, (_, i) => (
        <div key={i} class="waiting-line" style={{ width: `${[92, 78, 85, 61, 70, 54][i % 6]}%` }} />
      ))}
    </div>
  );
}

/** An answer's data, or its state in place of it. */
export function Shown<T>({
  answer,
  what,
  lines,
  children,
}: {
  readonly answer: Answer<T>;
  readonly what: string;
  readonly lines?: number;
  readonly children: (data: T) => ComponentChildren;
}) {
  const { data, fault, retry } = answer;
  if (fault !== undefined) return <Fault fault={fault} retry={retry} />;
  if (data === undefined) return <Waiting what={what} {...(lines !== undefined && { lines })} />;
  return <>{children(data)}</>;
}
