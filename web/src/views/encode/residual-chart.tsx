import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import { percent } from "../../parts/numbers.ts";
import { useWidth } from "../../parts/use-width.ts";
import type { Trace } from "./trace.ts";

const HEIGHT = 172;
const MARGIN = { top: 12, right: 14, bottom: 22, left: 46 };

/** One curve. `tone` names its colour. */
export interface Curve {
  readonly trace: Trace;
  readonly tone: "first" | "second";
  readonly name: string;
}

/** What is left of the row after each selection, and the slider that moves along it. */
export function ResidualChart({
  curves,
  k,
  most,
  onChange,
}: {
  readonly curves: readonly Curve[];
  readonly k: number;
  readonly most: number;
  readonly onChange: (k: number) => void;
}) {
  const [frame, width] = useWidth<HTMLDivElement>();
  const x = scaleLinear([0, most], [MARGIN.left, Math.max(width - MARGIN.right, MARGIN.left + 1)]);
  const y = scaleLinear([0, 1], [HEIGHT - MARGIN.bottom, MARGIN.top]);
  const drawn = curves.filter(({ trace }) => trace.selections.some(({ left }) => left !== null));
  const path = line<readonly [number, number]>(
    ([step]) => x(step),
    ([, left]) => y(left),
  );
  const pick = (event: PointerEvent): void => {
    if (event.type === "pointermove" && event.buttons !== 1) return;
    const box = (event.currentTarget as Element).getBoundingClientRect();
    onChange(Math.max(0, Math.min(most, Math.round(x.invert(event.clientX - box.left)))));
  };
  return (
    <div class="residual" ref={frame}>
      {width > 0 && (
        <svg
          width={width}
          height={HEIGHT}
          role="img"
          aria-label={`What is left of the row after each of ${most} selections`}
          onPointerDown={pick}
          onPointerMove={pick}
        >
          {[0, 0.25, 0.5, 0.75, 1].map((left) => (
            <g key={left}>
              <line class="grid" x1={MARGIN.left} x2={width - MARGIN.right} y1={y(left)} y2={y(left)} />
              <text class="tick" x={MARGIN.left - 8} y={y(left)} text-anchor="end" dominant-baseline="middle">
                {left * 100} %
              </text>
            </g>
          ))}
          {x
            .ticks(Math.min(most, width / 90))
            .filter(Number.isInteger)
            .map((step) => (
              <text key={step} class="tick" x={x(step)} y={HEIGHT - 6} text-anchor="middle">
                {step}
              </text>
            ))}
          <line class="cut" x1={x(k)} x2={x(k)} y1={MARGIN.top - 6} y2={HEIGHT - MARGIN.bottom} />
          {drawn.map(({ trace, tone }) => {
            const points = [[0, 1] as const, ...trace.selections.map(({ step, left }) => [step, left!] as const)];
            const reached = points.slice(0, k + 1);
            return (
              <g key={tone} class={`curve tone-${tone}`}>
                {drawn.length === 1 && (
                  <path class="area" d={`${path(reached)}L${x(reached.at(-1)![0])},${y(0)}L${x(0)},${y(0)}Z`} />
                )}
                <path class="beyond" d={path(points)!} />
                <path class="reached" d={path(reached)!} />
                <circle cx={x(reached.at(-1)![0])} cy={y(reached.at(-1)![1])} r={4.5} />
              </g>
            );
          })}
        </svg>
      )}
      <input
        class="budget"
        type="range"
        min={0}
        max={most}
        value={k}
        aria-label="Budget in selections"
        aria-valuetext={valueText(drawn, k)}
        style={{
          marginLeft: `${MARGIN.left - 9}px`,
          width: `${Math.max(width - MARGIN.left - MARGIN.right + 18, 0)}px`,
        }}
        onInput={({ currentTarget }) => onChange(Number(currentTarget.value))}
      />
    </div>
  );
}

const valueText = (curves: readonly Curve[], k: number): string =>
  [
    `${k} selections`,
    ...curves.map(
      ({ trace, name }) =>
        `${percent(k === 0 ? 1 : (trace.selections[Math.min(k, trace.selections.length) - 1]?.left ?? 1))} left by ${name}`,
    ),
  ].join(", ");
