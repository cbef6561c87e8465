import { scaleLinear } from "d3-scale";
import { coefficient, percent, whole } from "../../parts/numbers.ts";
import { useWidth } from "../../parts/use-width.ts";

const HEIGHT = 132;
const MARGIN = { top: 16, bottom: 22 };

interface HistogramProps {
  /** `counts[i]` values lie from edges[i] to edges[i + 1]. */
  readonly edges: readonly number[];
  readonly counts: readonly number[];
  readonly name: string;
}

/** How often which value occurs. Columns are of equal width, though their ranges grow. */
export function Histogram({ edges, counts, name }: HistogramProps) {
  const [frame, width] = useWidth<HTMLDivElement>();
  const most = Math.max(...counts, 1);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const y = scaleLinear([0, most], [HEIGHT - MARGIN.bottom, MARGIN.top]);
  const step = width / Math.max(counts.length, 1);
  const every = Math.max(1, Math.ceil(64 / Math.max(step, 1)));
  return (
    <div class="histogram" ref={frame}>
      {width > 0 && (
        <svg
          width={width}
          height={HEIGHT}
          role="img"
          aria-label={`${name}: ${whole(total)} values from ${coefficient(edges[0] ?? 0)} to ${coefficient(edges.at(-1) ?? 0)}`}
        >
          <line class="grid" x1={0} x2={width} y1={y(0)} y2={y(0)} />
          {counts.map((count, i) => (
            <g key={i} class="column-of">
              <title>{`${coefficient(edges[i]!)} to ${coefficient(edges[i + 1]!)}: ${whole(count)} rows, ${percent(count / Math.max(total, 1))}`}</title>
              <rect class="hit" x={i * step} y={MARGIN.top} width={step} height={HEIGHT - MARGIN.bottom - MARGIN.top} />
              <rect
                class="count"
                x={i * step + 0.5}
                y={y(count)}
                width={Math.max(step - 1, 0.5)}
                height={y(0) - y(count)}
              />
            </g>
          ))}
          {edges.map((edge, i) =>
            i % every === 0 && i * step < width - 20 ? (
              <text key={i} class="tick" x={i * step} y={HEIGHT - 6} text-anchor={i === 0 ? "start" : "middle"}>
                {coefficient(edge)}
              </text>
            ) : null,
          )}
        </svg>
      )}
    </div>
  );
}
