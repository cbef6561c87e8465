import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Problem } from "../api/client.ts";
import { Fault, Waiting } from "../parts/states.tsx";

/** A view whose code is fetched when it is first opened. */
export function lazy(load: () => Promise<ComponentType>): ComponentType {
  return () => {
    const [view, setView] = useState<{ readonly show: ComponentType } | Problem | null>(null);
    useEffect(() => {
      load().then(
        (show) => setView({ show }),
        () => setView(new Problem(0, "UNREACHABLE", "A part of the page could not be fetched. Load the page again.")),
      );
    }, []);
    if (view === null) return <Waiting what="the view" />;
    return view instanceof Problem ? <Fault fault={view} /> : <view.show />;
  };
}
