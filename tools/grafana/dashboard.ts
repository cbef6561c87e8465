import { fileURLToPath } from "node:url";

import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";

export const DASHBOARD_FILE = fileURLToPath(new URL("../../deploy/grafana/pursuit.json", import.meta.url));

const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

/** Labels that every query selects by, without and with the dictionary. */
const SERVER = `job=~"$job", instance=~"$instance"`;
const OF_DICTIONARY = `${SERVER}, dictionary=~"$dictionary"`;

const RATE = "[$__rate_interval]";

/** A query and the legend of its series. */
type Query = readonly [expression: string, legend: string];

/** A value that turns orange and red at these limits. */
interface Limits {
  readonly warn: number;
  readonly act: number;
}

interface PanelOptions {
  readonly unit: string;
  readonly description: string;
  readonly queries: readonly Query[];
  readonly limits?: Limits;
  readonly stack?: boolean;
  /** Columns of the 24 that a row has. */
  readonly span?: number;
}

function targets(queries: readonly Query[]): DataqueryBuilder[] {
  return queries.map(([expression, legend], i) =>
    new DataqueryBuilder()
      .expr(expression)
      .legendFormat(legend)
      .refId(String.fromCodePoint(65 + i))
      .datasource(DATASOURCE)
      .range(),
  );
}

function thresholds({ warn, act }: Limits): dashboard.ThresholdsConfigBuilder {
  const [low, high] = act > warn ? ["green", "red"] : ["red", "green"];
  return new dashboard.ThresholdsConfigBuilder()
    .mode(dashboard.ThresholdsMode.Absolute)
    .steps([
      { value: null, color: low },
      { value: Math.min(warn, act), color: act > warn ? "orange" : high },
      ...(act > warn ? [{ value: act, color: high }] : []),
    ]);
}

function figure(title: string, { unit, description, queries, limits, span = 4 }: PanelOptions): stat.PanelBuilder {
  const panel = new stat.PanelBuilder()
    .title(title)
    .description(description)
    .datasource(DATASOURCE)
    .unit(unit)
    .targets(targets(queries))
    .colorMode(limits === undefined ? common.BigValueColorMode.None : common.BigValueColorMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .height(4)
    .span(span);
  return limits === undefined ? panel : panel.thresholds(thresholds(limits));
}

function curve(
  title: string,
  { unit, description, queries, limits, stack = false, span = 8 }: PanelOptions,
): timeseries.PanelBuilder {
  const panel = new timeseries.PanelBuilder()
    .title(title)
    .description(description)
    .datasource(DATASOURCE)
    .unit(unit)
    .min(0)
    .targets(targets(queries))
    .fillOpacity(stack ? 25 : 5)
    .lineWidth(1)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs([]),
    )
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi))
    .height(8)
    .span(span);
  if (stack) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group("A"));
  if (limits !== undefined) {
    panel
      .thresholds(thresholds(limits))
      .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed));
  }
  return panel;
}

const quantile = (q: number, metric: string, by: string, selector: string): string =>
  `histogram_quantile(${q}, sum by (le${by === "" ? "" : `, ${by}`}) (rate(${metric}_bucket{${selector}}${RATE})))`;

/** A variable that offers the values of a label. */
function variable(name: string, label: string, query: string): dashboard.QueryVariableBuilder {
  return new dashboard.QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ query, refId: name })
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue(".+")
    .current({ selected: true, text: "All", value: "$__all" });
}

/** The dashboard of a fleet of servers, by the types of Grafana's own SDK. */
function build(): dashboard.Dashboard {
  const busy = `sum(rate(pursuit_busy_core_seconds_total{${SERVER}, work="requests"}${RATE})) / sum(pursuit_cores{${SERVER}})`;
  const encode = `${SERVER}, route="/v1/dictionaries/{id}/encode"`;
  return new dashboard.DashboardBuilder("Pursuit")
    .uid("pursuit")
    .description("Servers of sparse dictionaries: load, latency, quality, memory. docs/runbook.md says what to do.")
    .tags(["pursuit"])
    .refresh("30s")
    .time({ from: "now-1h", to: "now" })
    .timezone("browser")
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .readonly()
    .withVariable(new dashboard.DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"))
    .withVariable(variable("job", "Job", "label_values(pursuit_ready, job)"))
    .withVariable(variable("instance", "Instance", 'label_values(pursuit_ready{job=~"$job"}, instance)'))
    .withVariable(variable("dictionary", "Dictionary", `label_values(pursuit_dictionary_state{${SERVER}}, dictionary)`))

    .withRow(new dashboard.RowBuilder("Now"))
    .withPanel(
      figure("Ready", {
        unit: "short",
        description: "Servers that are ready.",
        queries: [[`sum(pursuit_ready{${SERVER}})`, "ready"]],
        limits: { warn: 1, act: 1 },
      }),
    )
    .withPanel(
      figure("Predicted wait", {
        unit: "s",
        description: "Longest predicted wait over the last minute. Admission refuses above the limit.",
        queries: [[`max(avg_over_time(pursuit_predicted_wait_seconds{${OF_DICTIONARY}}[1m]))`, "wait"]],
        limits: { warn: 1, act: 5 },
      }),
    )
    .withPanel(
      figure("Busy cores", {
        unit: "percentunit",
        description: "Share of the cores that batches of requests hold.",
        queries: [[busy, "busy"]],
        limits: { warn: 0.7, act: 0.9 },
      }),
    )
    .withPanel(
      figure("Rows encoded", {
        unit: "rowsps",
        description: "Rows a second.",
        queries: [[`sum(rate(pursuit_rows_total{${OF_DICTIONARY}}${RATE}))`, "rows"]],
      }),
    )
    .withPanel(
      figure("Shed", {
        unit: "percentunit",
        description: "Share of requests refused or dropped before they were encoded.",
        queries: [
          [
            `sum(rate(pursuit_shed_total{${SERVER}}${RATE})) / clamp_min(sum(rate(pursuit_requests_total{${SERVER}}${RATE})), 1e-9)`,
            "shed",
          ],
        ],
        limits: { warn: 0.001, act: 0.01 },
      }),
    )
    .withPanel(
      figure("Faults", {
        unit: "percentunit",
        description: "Share of requests answered 500.",
        queries: [
          [
            `sum(rate(pursuit_requests_total{${SERVER}, code="500"}${RATE})) / clamp_min(sum(rate(pursuit_requests_total{${SERVER}}${RATE})), 1e-9)`,
            "faults",
          ],
        ],
        limits: { warn: 0.0001, act: 0.001 },
      }),
    )

    .withRow(new dashboard.RowBuilder("Load"))
    .withPanel(
      curve("Predicted wait", {
        unit: "s",
        description: "Predicted wait of a small request by dictionary, and the limit of admission.",
        queries: [
          [`max by (dictionary) (pursuit_predicted_wait_seconds{${OF_DICTIONARY}})`, "{{dictionary}}"],
          [`min(pursuit_predicted_wait_limit_seconds{${SERVER}})`, "limit"],
        ],
      }),
    )
    .withPanel(
      curve("Busy share of the cores", {
        unit: "percentunit",
        description: "Cores held by requests, and by background work such as Gram matrices.",
        queries: [
          [
            `sum by (work) (rate(pursuit_busy_core_seconds_total{${SERVER}}${RATE})) / on () group_left () sum(pursuit_cores{${SERVER}})`,
            "{{work}}",
          ],
        ],
        stack: true,
      }),
    )
    .withPanel(
      curve("Rows waiting", {
        unit: "short",
        description: "Rows in the queues.",
        queries: [[`sum by (dictionary) (pursuit_queue_rows{${OF_DICTIONARY}})`, "{{dictionary}}"]],
        stack: true,
      }),
    )
    .withPanel(
      curve("Requests", {
        unit: "reqps",
        description: "Requests a second by status.",
        queries: [[`sum by (code) (rate(pursuit_requests_total{${SERVER}}${RATE})) > 0`, "{{code}}"]],
        stack: true,
      }),
    )
    .withPanel(
      curve("Shed", {
        unit: "reqps",
        description: "Requests refused or dropped before they were encoded, by reason.",
        queries: [[`sum by (reason) (rate(pursuit_shed_total{${SERVER}}${RATE}))`, "{{reason}}"]],
        stack: true,
      }),
    )
    .withPanel(
      curve("Bytes in flight", {
        unit: "bytes",
        description: "Request bodies being read or worked on, and their limit.",
        queries: [
          [`sum(pursuit_in_flight_bytes{${SERVER}})`, "bodies"],
          [`sum(pursuit_in_flight_limit_bytes{${SERVER}})`, "limit"],
        ],
      }),
    )

    .withRow(new dashboard.RowBuilder("Latency"))
    .withPanel(
      curve("Encode requests", {
        unit: "s",
        description: "From a request's head to its answer, encode on /v1.",
        queries: [0.5, 0.9, 0.99].map(
          (q) => [quantile(q, "pursuit_request_seconds", "", encode), `p${q * 100}`] as const,
        ),
      }),
    )
    .withPanel(
      curve("Stages, p99", {
        unit: "s",
        description: "batch less runtime is transport to and from the runtime process.",
        queries: [[quantile(0.99, "pursuit_stage_seconds", "stage", SERVER), "{{stage}}"]],
      }),
    )
    .withPanel(
      curve("Queue by dictionary, p99", {
        unit: "s",
        description: "Time until the first batch.",
        queries: [
          [quantile(0.99, "pursuit_stage_seconds", "dictionary", `${OF_DICTIONARY}, stage="queue"`), "{{dictionary}}"],
        ],
      }),
    )

    .withRow(new dashboard.RowBuilder("Rows and quality"))
    .withPanel(
      curve("Rows encoded", {
        unit: "rowsps",
        description: "Rows a second by dictionary and encoder.",
        queries: [
          [
            `sum by (dictionary, encoder) (rate(pursuit_rows_total{${OF_DICTIONARY}}${RATE}))`,
            "{{dictionary}} {{encoder}}",
          ],
        ],
        stack: true,
      }),
    )
    .withPanel(
      curve("Atoms a row, mean", {
        unit: "short",
        description: "Mean of the distinct atoms of a row.",
        queries: [
          [
            `sum by (dictionary) (rate(pursuit_atoms_per_row_sum{${OF_DICTIONARY}}${RATE})) / clamp_min(sum by (dictionary) (rate(pursuit_atoms_per_row_count{${OF_DICTIONARY}}${RATE})), 1e-9)`,
            "{{dictionary}}",
          ],
        ],
      }),
    )
    .withPanel(
      curve("Relative error, median", {
        unit: "percentunit",
        description: "A change without a change of budgets: the rows are others than before.",
        queries: [[quantile(0.5, "pursuit_relative_error", "dictionary", OF_DICTIONARY), "{{dictionary}}"]],
      }),
    )
    .withPanel(
      curve("Why rows end", {
        unit: "rowsps",
        description: "Rows a second by stop reason. degraded: cut short under load.",
        queries: [[`sum by (stop) (rate(pursuit_stops_total{${OF_DICTIONARY}}${RATE})) > 0`, "{{stop}}"]],
        stack: true,
      }),
    )
    .withPanel(
      curve("Rows a batch", {
        unit: "short",
        description: "Small batches under load: rows are expensive, or PURSUIT_BATCH_MS is low.",
        queries: [0.5, 0.9].map((q) => [quantile(q, "pursuit_batch_rows", "", SERVER), `p${q * 100}`] as const),
      }),
    )
    .withPanel(
      curve("Runtime restarts", {
        unit: "short",
        description: "Restarts of runtime processes in five minutes, by reason.",
        queries: [
          [
            `sum by (dictionary, reason) (increase(pursuit_runtime_restarts_total{${OF_DICTIONARY}}[5m]))`,
            "{{dictionary}} {{reason}}",
          ],
        ],
      }),
    )

    .withRow(new dashboard.RowBuilder("Dictionaries and machine"))
    .withPanel(
      curve("Dictionaries by state", {
        unit: "short",
        description: "Over all servers.",
        queries: [[`sum by (state) (pursuit_dictionary_state{${OF_DICTIONARY}})`, "{{state}}"]],
        stack: true,
      }),
    )
    .withPanel(
      curve("Memory by dictionary", {
        unit: "bytes",
        description: "Runtime processes, Gram matrices, labels.",
        queries: [
          [`sum by (dictionary, use) (pursuit_dictionary_memory_bytes{${OF_DICTIONARY}})`, "{{dictionary}} {{use}}"],
        ],
        stack: true,
      }),
    )
    .withPanel(
      curve("Memory held", {
        unit: "percentunit",
        description: "Of PURSUIT_MEMORY_LIMIT. Near 1, further dictionaries and Gram matrices are refused.",
        queries: [
          [
            `sum by (instance) (pursuit_memory_held_bytes{${SERVER}}) / sum by (instance) (pursuit_memory_limit_bytes{${SERVER}})`,
            "{{instance}}",
          ],
        ],
        limits: { warn: 0.85, act: 0.95 },
      }),
    )
    .withPanel(
      curve("Event loop lag, p99", {
        unit: "s",
        description: "Over 20 ms: bodies are too large for one process. Send binary, or add replicas.",
        queries: [[`nodejs_eventloop_lag_p99_seconds{${SERVER}}`, "{{instance}}"]],
      }),
    )
    .withPanel(
      curve("CPU of the server process", {
        unit: "short",
        description: "Cores. Runtime processes are not in it.",
        queries: [[`rate(process_cpu_seconds_total{${SERVER}}${RATE})`, "{{instance}}"]],
      }),
    )
    .withPanel(
      curve("Open files", {
        unit: "percentunit",
        description: "Share of the limit on open files.",
        queries: [[`process_open_fds{${SERVER}} / process_max_fds{${SERVER}}`, "{{instance}}"]],
      }),
    )
    .build();
}

/** The committed file's text. */
export const dashboardText = (): string => `${JSON.stringify(build(), null, 2)}\n`;
