import { useEffect, useRef } from "preact/hooks";
import { apiKey, keyWanted, setKey } from "../api/client.ts";

/** Asks for the server's key where it requires one. The key lives in this tab only. */
export function KeyDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const why = keyWanted.value;
  useEffect(() => {
    if (why !== null && dialog.current?.open === false) dialog.current.showModal();
    if (why === null) dialog.current?.close();
  }, [why]);
  return (
    <dialog ref={dialog} class="key-dialog" aria-labelledby="key-title" onCancel={(event) => event.preventDefault()}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setKey((new FormData(event.currentTarget).get("key") as string).trim());
        }}
      >
        <h2 id="key-title">{why ?? "Key"}</h2>
        <label class="field">
          <span class="field-name">API key</span>
          <input
            name="key"
            type="password"
            required
            autocomplete="off"
            spellcheck={false}
            aria-describedby="key-note"
          />
        </label>
        <p id="key-note" class="fine">
          One of the server&rsquo;s PURSUIT_API_KEYS or PURSUIT_ADMIN_KEYS. This tab forgets it when it is closed.
        </p>
        <button type="submit" class="button primary">
          Open
        </button>
        {apiKey.value !== "" && (
          <button type="button" class="button" onClick={() => (keyWanted.value = null)}>
            Keep the key
          </button>
        )}
      </form>
    </dialog>
  );
}
