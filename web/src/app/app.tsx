import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useAnswer } from "../api/answer.ts";
import { ask } from "../api/client.ts";
import type { Dictionary } from "../api/types.ts";
import { Empty, Shown } from "../parts/states.tsx";
import { ContrastView } from "../views/contrast/contrast.tsx";
import { DictionariesView } from "../views/dictionaries.tsx";
import { FeatureView } from "../views/feature/feature.tsx";
import { FeaturesView } from "../views/features/features.tsx";
import { LiveView } from "../views/live/live.tsx";
import { SteerView } from "../views/steer/steer.tsx";
import { lazy } from "./lazy.tsx";
import { EncodeView } from "../views/encode/encode.tsx";
import { Dictionaries } from "./dictionaries.ts";
import { KeyDialog } from "./key-dialog.tsx";
import { linkTo, place } from "./location.ts";
import { ThemeButton } from "./theme.tsx";

interface View {
  readonly name: string;
  readonly show: ComponentType;
  /** Whether the bar leads to it; a feature is reached from others. */
  readonly inBar: boolean;
  /** The view of the bar that it belongs to. */
  readonly under?: string;
}

const VIEWS: Readonly<Record<string, View>> = {
  encode: { name: "Encode", show: EncodeView, inBar: true },
  features: { name: "Features", show: FeaturesView, inBar: true },
  feature: { name: "Feature", show: FeatureView, inBar: false, under: "features" },
  steer: { name: "Steer", show: SteerView, inBar: true },
  map: { name: "Map", show: lazy(() => import("../views/map/map.tsx").then(({ MapView }) => MapView)), inBar: true },
  contrast: { name: "Contrast", show: ContrastView, inBar: true },
  live: { name: "Live", show: LiveView, inBar: true },
  dictionaries: { name: "Dictionaries", show: DictionariesView, inBar: true },
};

export function App() {
  const dictionaries = useAnswer("dictionaries", (signal) =>
    ask<{ dictionaries: Dictionary[] }>("v1/dictionaries", { signal }).then((answer) => answer.dictionaries),
  );
  const { view, params } = place.value;
  const shown = VIEWS[view];
  const main = useRef<HTMLElement>(null);
  const before = useRef(view);
  useEffect(() => {
    document.title = shown === undefined ? "Pursuit" : `${shown.name} · Pursuit`;
    // A new view begins at its start, for eyes and for screen readers.
    if (before.current !== view) main.current?.focus();
    before.current = view;
    // On a narrow screen the bar is longer than the screen.
    document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [view]);
  const kept = { d: params.get("d") };
  return (
    <Dictionaries.Provider value={dictionaries}>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the view
      </a>
      <header class="topbar">
        <a class="brand" href={linkTo("encode", kept)}>
          <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
            <rect x="2" y="4" width="20" height="3.4" />
            <rect x="2" y="10.3" width="11" height="3.4" />
            <rect x="2" y="16.6" width="5" height="3.4" />
          </svg>
          Pursuit
        </a>
        <nav aria-label="Views">
          {Object.entries(VIEWS).flatMap(([path, { name, inBar }]) =>
            inBar
              ? [
                  <a
                    key={path}
                    href={linkTo(path, kept)}
                    aria-current={path === view ? "page" : path === shown?.under ? "true" : undefined}
                  >
                    {name}
                  </a>,
                ]
              : [],
          )}
        </nav>
        <div class="topbar-end">
          <a class="quiet" href="./docs">
            API
          </a>
          <ThemeButton />
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {shown === undefined ? (
          <Empty title="There is no such view">
            The address names {view}. Go to <a href={linkTo("encode")}>Encode</a>.
          </Empty>
        ) : (
          <Shown answer={dictionaries} what="dictionaries">
            {(all) =>
              all.length === 0 ? (
                <Empty title="The server has no dictionary">
                  Add one by <code>npx pursuit pull</code> or <code>npx pursuit import</code>, and start the server
                  again.
                </Empty>
              ) : (
                <shown.show key={view} />
              )
            }
          </Shown>
        )}
      </main>
      <KeyDialog />
    </Dictionaries.Provider>
  );
}
