/** Arrow keys, Home and End in a list: moves the focus among its links or buttons. */
export function roveOnKey(event: KeyboardEvent & { readonly currentTarget: EventTarget }): void {
  const list = event.currentTarget as HTMLElement;
  const items = [...list.querySelectorAll<HTMLElement>("a[href], button:not(:disabled)")];
  const at = items.indexOf(document.activeElement as HTMLElement);
  if (at < 0) return;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  const item = to === undefined ? undefined : items[to];
  if (item === undefined) return;
  event.preventDefault();
  item.focus();
}
