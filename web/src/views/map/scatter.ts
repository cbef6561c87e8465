/** Points on a plane, moved and enlarged by a camera. No library of scatter plots here runs under a policy without eval. */
import KDBush from "kdbush";
import { type Inks, type Painter, startPainter } from "./painters.ts";

/** Where the plane lies on the canvas: `x` and `y` in CSS pixels, `k` times enlarged. */
export interface Camera {
  readonly k: number;
  readonly x: number;
  readonly y: number;
}

/** Points in CSS pixels at which the mouse still meets one. */
const REACH = 10;

export class Scatter {
  readonly #canvas: HTMLCanvasElement;
  readonly #painter: Painter;
  readonly #index: KDBush;
  /** [m, 2], within −1 to 1. */
  readonly #places: Float32Array;
  readonly #count: number;
  #camera: Camera = { k: 1, x: 0, y: 0 };
  #inks: Inks = { plain: "#000", marked: "#f00" };
  #frame = 0;

  /**
   * @param coordinates [m, 2] of any scale
   * @throws Error where the browser gives neither WebGL 2 nor a plain canvas
   */
  constructor(canvas: HTMLCanvasElement, coordinates: Float32Array) {
    this.#canvas = canvas;
    this.#places = fitted(coordinates);
    this.#count = this.#places.length / 2;
    this.#painter = startPainter(canvas, this.#places);
    this.#index = new KDBush(this.#count, 64, Float32Array);
    for (let i = 0; i < this.#count; i++) this.#index.add(this.#places[2 * i]!, this.#places[2 * i + 1]!);
    this.#index.finish();
  }

  /** Whether the graphics card draws. */
  get fast(): boolean {
    return this.#painter.fast;
  }

  set inks(inks: Inks) {
    this.#inks = inks;
    this.#redraw();
  }

  set camera(camera: Camera) {
    this.#camera = camera;
    this.#redraw();
  }

  /** Points that stand out. */
  mark(points: Iterable<number>): void {
    const marks = new Float32Array(this.#count);
    for (const point of points) if (point < this.#count) marks[point] = 1;
    this.#painter.mark(marks);
    this.#redraw();
  }

  /** The canvas has another size in CSS pixels. */
  resize(): void {
    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = window.devicePixelRatio;
    this.#canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.#canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.#redraw();
  }

  /** Place of a point on the canvas, in CSS pixels. */
  placeOf(point: number): readonly [number, number] {
    const { half, width, height } = this.#square();
    const { k, x, y } = this.#camera;
    return [
      x + k * (width / 2 + this.#places[2 * point]! * half),
      y + k * (height / 2 - this.#places[2 * point + 1]! * half),
    ];
  }

  /** The point nearest to a place on the canvas, in CSS pixels; null where none is near. */
  nearest(left: number, top: number): number | null {
    const { half, width, height } = this.#square();
    const { k, x, y } = this.#camera;
    const px = ((left - x) / k - width / 2) / half;
    const py = (height / 2 - (top - y) / k) / half;
    let best: number | null = null;
    let least = Infinity;
    for (const point of this.#index.within(px, py, REACH / (k * half))) {
      const far = (this.#places[2 * point]! - px) ** 2 + (this.#places[2 * point + 1]! - py) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  }

  destroy(): void {
    cancelAnimationFrame(this.#frame);
    this.#painter.destroy();
  }

  #square(): { readonly half: number; readonly width: number; readonly height: number } {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    return { half: Math.max(Math.min(width, height) / 2 - 12, 1), width, height };
  }

  /** Draws once a frame, however often something changes. */
  #redraw(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    const { half, width, height } = this.#square();
    const { k, x, y } = this.#camera;
    this.#painter.draw({
      scale: [(2 * k * half) / width, (2 * k * half) / height],
      shift: [(2 * (x + (k * width) / 2)) / width - 1, 1 - (2 * (y + (k * height) / 2)) / height],
      // Many points are small until one looks closer.
      size: Math.min(9, Math.max(1.6, (520 / Math.sqrt(this.#count)) * Math.sqrt(k))) * window.devicePixelRatio,
      alpha: this.#count > 50_000 ? 0.45 : 0.7,
      inks: this.#inks,
    });
    this.#canvas.dataset["drawn"] = String(this.#count);
  }
}

/** Coordinates moved and scaled, both axes alike, so that nearly all lie within −1 to 1: a few far ones do not shrink the others. */
export function fitted(coordinates: Float32Array): Float32Array {
  const axes = [0, 1].map((axis) => {
    const values = Float32Array.from(
      { length: coordinates.length / 2 },
      (_, i) => coordinates[2 * i + axis]!,
    ).toSorted();
    const [low, high] = [
      values[Math.floor(values.length * 0.001)] ?? 0,
      values[Math.ceil(values.length * 0.999) - 1] ?? 0,
    ];
    return { middle: (low + high) / 2, half: (high - low) / 2 };
  });
  const half = Math.max(...axes.map((axis) => axis.half)) || 1;
  return coordinates.map((value, i) => (value - axes[i % 2]!.middle) / half);
}
