export interface Gate {
  readonly passed: Promise<void>;
  /** Lets all waiters through. */
  readonly open: () => void;
}

export function createGate(): Gate {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
