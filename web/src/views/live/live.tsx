import { scaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { useEffect, useState } from "preact/hooks";
import { apiKey, askText, Problem, SERVER } from "../../api/client.ts";
import { getSnippet } from "../../api/snippets.ts";
import { bytes, seconds, whole } from "../../parts/numbers.ts";
import { RequestPanel } from "../../parts/request-panel.tsx";
import { Fault, Waiting } from "../../parts/states.tsx";
import { useWidth } from "../../parts/use-width.ts";
import { STOPS } from "../encode/trace.ts";
import { byLabel, parseMetrics, quantileOf, rateOf, type Reading, sumOf } from "./metrics-text.ts";

/** Milliseconds between readings, and readings that are kept: five minutes. */
const EVERY = 2000;
const KEPT = 150;
/** Readings over which a quantile is taken: half a minute. */
const WINDOW = 15;

/** What the server does now: load, waits, stops, from its metrics. */
export function LiveView() {
  const { readings, fault } = useReadings();
  const now = readings.at(-1);
  return (
    <div class="page">
      <div class="page-head">
        <h1>Live</h1>
        <p class="fine">Reads the server&rsquo;s metrics every two seconds while this page is open.</p>
      </div>
      {fault !== null && <Fault fault={fault} />}
      {now === undefined ? fault === null && <Waiting what="metrics" /> : <Figures readings={readings} now={now} />}
      <RequestPanel snippet={getSnippet({ server: SERVER, keyed: apiKey.value !== "" }, "metrics", null)} />
    </div>
  );
}

function useReadings(): { readonly readings: readonly Reading[]; readonly fault: Problem | null } {
  const [readings, setReadings] = useState<readonly Reading[]>([]);
  const [fault, setFault] = useState<Problem | null>(null);
  const key = apiKey.value;
  useEffect(() => {
    const abort = new AbortController();
    let next: ReturnType<typeof setTimeout>;
    const read = async (): Promise<void> => {
      try {
        const text = await askText("metrics", { signal: abort.signal });
        const reading = { at: performance.now() / 1000, samples: parseMetrics(text) };
        setReadings((before) => [...before.slice(1 - KEPT), reading]);
        setFault(null);
      } catch (error) {
        if (abort.signal.aborted) return;
        setFault(error instanceof Problem ? error : new Problem(0, "PAGE", String(error)));
      }
      next = setTimeout(() => void read(), EVERY);
    };
    void read();
    return () => {
      abort.abort();
      clearTimeout(next);
    };
  }, [key]);
  return { readings, fault };
}

const QUEUE = { stage: "queue" };

function Figures({ readings, now }: { readonly readings: readonly Reading[]; readonly now: Reading }) {
  const pairs = readings.slice(1).map((reading, i) => [readings[i]!, reading] as const);
  const rates = (name: string): number[] => pairs.map(([before, after]) => rateOf(before, after, name));
  const waits = readings
    .map(
      (reading, i) =>
        quantileOf(readings[Math.max(0, i - WINDOW)]!, reading, "pursuit_stage_seconds", QUEUE, 0.99) ?? 0,
    )
    .slice(1);
  const cores = sumOf(now, "pursuit_cores");
  const limit = sumOf(now, "pursuit_memory_limit_bytes");
  const held = sumOf(now, "pursuit_memory_held_bytes");
  return (
    <>
      <div class="meters">
        <Meter name="rows a second" values={rates("pursuit_rows_total")} show={(value) => whole(Math.round(value))} />
        <Meter name="requests a second" values={rates("pursuit_requests_total")} show={(value) => value.toFixed(1)} />
        <Meter
          name="rows waiting"
          values={readings.map((reading) => sumOf(reading, "pursuit_queue_rows")).slice(1)}
          show={(value) => whole(Math.round(value))}
        />
        <Meter name="wait, 99 of 100 requests" values={waits} show={(value) => (value === 0 ? "–" : seconds(value))} />
        {cores > 0 && (
          <Meter
            name={`busy cores of ${cores}`}
            values={rates("pursuit_busy_core_seconds_total")}
            show={(value) => value.toFixed(2)}
            most={cores}
          />
        )}
        <Meter
          name={limit > 0 ? `memory held, of ${bytes(limit)}` : "memory held"}
          values={readings.map((reading) => sumOf(reading, "pursuit_memory_held_bytes")).slice(1)}
          show={() => bytes(held)}
          {...(limit > 0 && { most: limit })}
        />
      </div>
      <div class="tallies">
        <Tally
          title="Why rows ended"
          rows={byLabel(now, "pursuit_stops_total", "stop").map(([stop, count]) => [STOPS[stop] ?? stop, count])}
          empty="No row has been encoded since the server started."
        />
        <Tally
          title="Rows by dictionary"
          rows={byLabel(now, "pursuit_rows_total", "dictionary")}
          empty="No row has been encoded since the server started."
        />
        <Tally
          title="Refused or dropped"
          rows={byLabel(now, "pursuit_shed_total", "reason").map(([reason, count]) => [
            reason.replaceAll("_", " "),
            count,
          ])}
          empty="Nothing has been refused."
        />
        <Tally
          title="Answers by status"
          rows={byLabel(now, "pursuit_requests_total", "code")}
          empty="No request has been answered."
        />
        <Tally
          title="Restarts of runtimes"
          rows={byLabel(now, "pursuit_runtime_restarts_total", "dictionary")}
          empty="No runtime has been restarted."
        />
      </div>
    </>
  );
}

interface MeterProps {
  readonly name: string;
  readonly values: readonly number[];
  readonly show: (value: number) => string;
  /** Upper end of the scale; the largest value if not given. */
  readonly most?: number;
}

const METER_HEIGHT = 56;

/** A figure now, and its last five minutes. */
function Meter({ name, values, show, most }: MeterProps) {
  const [frame, width] = useWidth<HTMLDivElement>();
  const x = scaleLinear([0, KEPT - 1], [0, width]);
  const y = scaleLinear([0, most ?? Math.max(...values, 1e-9) * 1.1], [METER_HEIGHT - 1, 2]);
  const offset = KEPT - values.length;
  return (
    <div class="meter" ref={frame}>
      <p class="meter-name">{name}</p>
      <p class="meter-value">{values.length === 0 ? "–" : show(values.at(-1)!)}</p>
      {width > 0 && (
        <svg width={width} height={METER_HEIGHT} aria-hidden="true" class="tone-first curve">
          <line class="grid" x1={0} x2={width} y1={METER_HEIGHT - 0.5} y2={METER_HEIGHT - 0.5} />
          <path
            class="area"
            d={
              area<number>(
                (_, i) => x(offset + i),
                y(0),
                (value) => y(value),
              )([...values]) ?? ""
            }
          />
          <path
            class="reached"
            d={
              line<number>(
                (_, i) => x(offset + i),
                (value) => y(value),
              )([...values]) ?? ""
            }
          />
        </svg>
      )}
    </div>
  );
}

function Tally({
  title,
  rows,
  empty,
}: {
  readonly title: string;
  readonly rows: readonly (readonly [string, number])[];
  readonly empty: string;
}) {
  const most = Math.max(...rows.map(([, count]) => count), 1);
  return (
    <section class="tally">
      <h2>{title}</h2>
      {rows.length === 0 ? (
        <p class="fine">{empty}</p>
      ) : (
        <ol>
          {rows.slice(0, 12).map(([name, count]) => (
            <li key={name}>
              <span class="tally-name">{name}</span>
              <span class="value-bar" aria-hidden="true">
                <span class="bar" style={{ width: `${(count / most) * 100}%` }} />
              </span>
              <span class="value">{whole(count)}</span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
