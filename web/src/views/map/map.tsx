import { select } from "d3-selection";
import { zoom as d3Zoom, type ZoomBehavior, zoomIdentity } from "d3-zoom";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Answer, useAnswer } from "../../api/answer.ts";
import { apiKey, ask, askBytes, dictionaryPath, SERVER } from "../../api/client.ts";
import { getSnippet } from "../../api/snippets.ts";
import type { Dictionary, Feature, FeaturePage } from "../../api/types.ts";
import { silence, useDictionary } from "../../app/dictionaries.ts";
import { linkTo, place, setParams } from "../../app/location.ts";
import { percent, whole } from "../../parts/numbers.ts";
import { PickDictionary } from "../../parts/pick-dictionary.tsx";
import { RequestPanel } from "../../parts/request-panel.tsx";
import { roveOnKey } from "../../parts/roving.ts";
import { Empty, Fault, Waiting } from "../../parts/states.tsx";
import { WordsOf } from "../../parts/words.tsx";
import { wordsOf } from "../encode/trace.ts";
import { Scatter } from "./scatter.ts";

/** Features that a search marks at most. */
const MARKED = 1000;
const LISTED = 60;

/** All atoms on a plane: near ones lie near each other. */
export function MapView() {
  const dictionary = useDictionary();
  const quiet = dictionary === undefined ? "The server has no dictionary of this name." : silence(dictionary);
  const map = useAnswer(
    quiet === null ? `map ${dictionary!.id} ${dictionary!.sha256}` : null,
    async (signal) => new Float32Array(await askBytes(dictionaryPath(dictionary!.id, "/map"), { signal })),
  );
  if (dictionary === undefined || quiet !== null)
    return (
      <Empty title="There is no map">
        {quiet} <a href={linkTo("dictionaries")}>All dictionaries</a>
      </Empty>
    );
  return <Mapped dictionary={dictionary} map={map} />;
}

function Mapped({ dictionary, map }: { readonly dictionary: Dictionary; readonly map: Answer<Float32Array> }) {
  const { params } = place.value;
  const query = params.get("q") ?? "";
  const feature = params.get("f");
  const [pointed, setPointed] = useState<number | null>(null);
  const hits = useAnswer(
    query.length < 2 || !dictionary.labels ? null : `map search ${dictionary.id} ${dictionary.sha256} ${query}`,
    (signal) =>
      ask<FeaturePage>(
        dictionaryPath(dictionary.id, `/features?${new URLSearchParams({ query, limit: String(MARKED) })}`),
        { signal },
      ),
  );
  const found = query.length < 2 ? [] : (hits.data?.features ?? []);
  const marked = [...found.map(({ index }) => index), ...(feature === null ? [] : [Number(feature)])];
  const shown = pointed ?? (feature === null ? null : Number(feature));
  const { data, fault, retry } = map;
  return (
    <div class="map">
      <div class="map-plane">
        {fault?.code === "PURSUIT_NO_STATISTICS" ? (
          <Empty title="This dictionary has no map">
            Make one, and the statistics of its features, by{" "}
            <code>npx pursuit stats {dictionary.id} --rows rows.npy</code>.
          </Empty>
        ) : fault !== undefined ? (
          <Fault fault={fault} retry={retry} />
        ) : data === undefined ? (
          <Waiting what="the map" lines={16} />
        ) : (
          <Plane
            key={dictionary.id}
            points={data}
            marked={marked}
            chosen={feature === null ? null : Number(feature)}
            onPoint={setPointed}
            onChoose={(point) => setParams({ f: point })}
            label={`Map of ${whole(data.length / 2)} atoms of ${dictionary.id}`}
          />
        )}
      </div>
      <aside class="map-side" aria-label="Features of the map">
        <div class="toolbar">
          <PickDictionary dictionary={dictionary} resets={["f", "q"]} />
          <label class="field">
            <span class="field-name">Mark by words</span>
            <input
              type="search"
              defaultValue={query}
              placeholder="bird"
              onInput={({ currentTarget }) => setParams({ q: currentTarget.value })}
            />
          </label>
        </div>
        {shown === null ? (
          <p class="fine">
            Point at an atom to see its words; press it to keep it. Drag to move, scroll or + and − to zoom.
          </p>
        ) : (
          <Shown dictionary={dictionary} index={shown} />
        )}
        {query.length >= 2 && hits.data && (
          <>
            <p class="fine" role="status">
              {whole(hits.data.total)} {hits.data.total === 1 ? "feature matches" : "features match"}
              {hits.data.total > LISTED && `; the first ${LISTED} are listed`}
            </p>
            <ul class="row-list" onKeyDown={roveOnKey}>
              {found.slice(0, LISTED).map(({ index, label, label_source: source }) => (
                <li key={index}>
                  <button
                    type="button"
                    aria-pressed={String(index) === feature}
                    onClick={() => setParams({ f: index })}
                  >
                    <span class="code-feature">{index}</span> <WordsOf words={wordsOf(label, source)} />
                  </button>
                </li>
              ))}
            </ul>
          </>
        )}
        {hits.fault && query.length >= 2 && <Fault fault={hits.fault} />}
        <RequestPanel
          snippet={getSnippet(
            { server: SERVER, keyed: apiKey.value !== "" },
            dictionaryPath(dictionary.id, "/map"),
            null,
          )}
        />
      </aside>
    </div>
  );
}

/** The atom that is pointed at or chosen. */
function Shown({ dictionary, index }: { readonly dictionary: Dictionary; readonly index: number }) {
  const { data, fault } = useAnswer(`feature ${dictionary.id} ${dictionary.sha256} ${index}`, (signal) =>
    ask<Feature>(dictionaryPath(dictionary.id, `/features/${index}`), { signal }),
  );
  const current = data?.index === index ? data : undefined;
  return (
    <section class="map-shown" aria-live="polite">
      <p class="feature-number">Feature {index}</p>
      {fault ? (
        <Fault fault={fault} />
      ) : (
        <h2>{current ? <WordsOf words={wordsOf(current.label, current.label_source)} missing="no label" /> : "…"}</h2>
      )}
      {current?.rate !== undefined && <p class="fine">active in {percent(current.rate)} of rows</p>}
      <ul class="examples-short">
        {current?.examples?.slice(0, 4).map(({ row, text }) => (
          <li key={row}>
            <WordsOf words={wordsOf(text ?? `row ${row}`)} />
          </li>
        ))}
      </ul>
      <a href={linkTo("feature", { d: dictionary.id, f: index })}>All about it</a>
    </section>
  );
}

interface PlaneProps {
  readonly points: Float32Array;
  readonly marked: readonly number[];
  readonly chosen: number | null;
  readonly label: string;
  readonly onPoint: (point: number | null) => void;
  readonly onChoose: (point: number) => void;
}

const PAN = 60;

function Plane({ points, marked, chosen, label, onPoint, onChoose }: PlaneProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scatter = useRef<Scatter | null>(null);
  const behaviour = useRef<ZoomBehavior<HTMLCanvasElement, unknown> | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const [slow, setSlow] = useState(false);
  const [ring, setRing] = useState<readonly [number, number] | null>(null);
  const chosenNow = useRef(chosen);
  chosenNow.current = chosen;

  useLayoutEffect(() => {
    const element = canvas.current!;
    let drawn: Scatter;
    try {
      drawn = new Scatter(element, points);
    } catch (error) {
      setFault((error as Error).message);
      return;
    }
    scatter.current = drawn;
    setSlow(!drawn.fast);
    const moveRing = (): void => setRing(chosenNow.current === null ? null : drawn.placeOf(chosenNow.current));
    const zooming = d3Zoom<HTMLCanvasElement, unknown>()
      .scaleExtent([0.5, 200])
      .on("zoom", ({ transform }) => {
        drawn.camera = transform;
        moveRing();
      });
    behaviour.current = zooming;
    select(element).call(zooming).on("dblclick.zoom", null);
    const paint = (): void => {
      const style = getComputedStyle(element);
      drawn.inks = { plain: style.color, marked: style.outlineColor };
    };
    paint();
    const themes = new MutationObserver(paint);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", paint);
    const sizes = new ResizeObserver(() => {
      drawn.resize();
      moveRing();
    });
    sizes.observe(element);
    return () => {
      themes.disconnect();
      sizes.disconnect();
      system.removeEventListener("change", paint);
      drawn.destroy();
    };
  }, [points]);

  const marks = marked.join(",");
  useEffect(() => scatter.current?.mark(marked), [marks, points]);
  useEffect(
    () => setRing(chosen === null || scatter.current === null ? null : scatter.current.placeOf(chosen)),
    [chosen, points],
  );

  const at = (event: MouseEvent): number | null => scatter.current?.nearest(event.offsetX, event.offsetY) ?? null;
  const onKey = (event: KeyboardEvent): void => {
    const chosenElement = canvas.current && behaviour.current ? select(canvas.current) : null;
    const zooming = behaviour.current;
    if (chosenElement === null || zooming === null) return;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => zooming.translateBy(chosenElement, PAN, 0),
      ArrowRight: () => zooming.translateBy(chosenElement, -PAN, 0),
      ArrowUp: () => zooming.translateBy(chosenElement, 0, PAN),
      ArrowDown: () => zooming.translateBy(chosenElement, 0, -PAN),
      "+": () => zooming.scaleBy(chosenElement, 1.5),
      "=": () => zooming.scaleBy(chosenElement, 1.5),
      "-": () => zooming.scaleBy(chosenElement, 1 / 1.5),
      "0": () => zooming.transform(chosenElement, zoomIdentity),
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    move();
  };
  if (fault !== null) return <Empty title="The map cannot be drawn">{fault}</Empty>;
  return (
    <>
      <canvas
        ref={canvas}
        class="plane"
        role="application"
        aria-label={`${label}. Arrow keys move it, plus and minus zoom, 0 shows all.`}
        tabIndex={0}
        onKeyDown={onKey}
        onMouseMove={(event) => onPoint(at(event))}
        onMouseLeave={() => onPoint(null)}
        onClick={(event) => {
          const point = at(event);
          if (point !== null) onChoose(point);
        }}
      />
      {slow && (
        <p class="map-note fine">
          Drawn without WebGL 2, which this browser lacks or has turned off: moving is slower.
        </p>
      )}
      {ring && <div class="ring" style={{ left: `${ring[0]}px`, top: `${ring[1]}px` }} />}
    </>
  );
}
