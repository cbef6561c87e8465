/** Points on a plane by WebGL 2: one call draws a quarter of a million. No library here runs under a policy without eval. */
import KDBush from "kdbush";

/** Where the plane lies on the canvas: `x` and `y` in CSS pixels, `k` times enlarged. */
export interface Camera {
  readonly k: number;
  readonly x: number;
  readonly y: number;
}

export interface Inks {
  readonly plain: string;
  readonly marked: string;
}

const VERTEX = `#version 300 es
in vec2 place;
in float mark;
uniform vec2 scale;
uniform vec2 shift;
uniform float size;
uniform bool marks;
out float kind;
void main() {
  kind = mark;
  gl_Position = vec4(place * scale + shift, 0.0, 1.0);
  // Each pass leaves the points of the other out.
  if (marks != (mark > 0.0)) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = mark > 0.0 ? max(size * 1.6, 7.0) : size;
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
uniform vec4 ink;
out vec4 colour;
void main() {
  float far = length(gl_PointCoord - 0.5);
  float cover = 1.0 - smoothstep(0.38, 0.5, far);
  if (cover <= 0.0) discard;
  colour = vec4(ink.rgb, 1.0) * (ink.a * cover);
}`;

/** Points in CSS pixels at which the mouse still meets one. */
const REACH = 10;

export class Scatter {
  readonly #gl: WebGL2RenderingContext;
  readonly #canvas: HTMLCanvasElement;
  readonly #program: WebGLProgram;
  readonly #marks: WebGLBuffer;
  readonly #index: KDBush;
  /** [m, 2], within −1 to 1. */
  readonly #places: Float32Array;
  readonly #count: number;
  #camera: Camera = { k: 1, x: 0, y: 0 };
  #inks: Inks = { plain: "#000", marked: "#f00" };
  #frame = 0;

  /**
   * @param coordinates [m, 2] of any scale
   * @throws Error where the browser has no WebGL 2
   */
  constructor(canvas: HTMLCanvasElement, coordinates: Float32Array) {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (gl === null)
      throw new Error("This browser has no WebGL 2. Turn on hardware acceleration, or use another browser.");
    this.#gl = gl;
    this.#canvas = canvas;
    this.#places = fitted(coordinates);
    this.#count = this.#places.length / 2;
    this.#index = new KDBush(this.#count, 64, Float32Array);
    for (let i = 0; i < this.#count; i++) this.#index.add(this.#places[2 * i]!, this.#places[2 * i + 1]!);
    this.#index.finish();
    this.#program = linked(gl);
    this.#attribute("place", 2, this.#places, gl.STATIC_DRAW);
    this.#marks = this.#attribute("mark", 1, new Float32Array(this.#count), gl.DYNAMIC_DRAW);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  #attribute(name: string, size: number, data: Float32Array, usage: number): WebGLBuffer {
    const gl = this.#gl;
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, usage);
    const at = gl.getAttribLocation(this.#program, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, gl.FLOAT, false, 0, 0);
    return buffer;
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
    this.#gl.bindBuffer(this.#gl.ARRAY_BUFFER, this.#marks);
    this.#gl.bufferSubData(this.#gl.ARRAY_BUFFER, 0, marks);
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
    this.#gl.getExtension("WEBGL_lose_context")?.loseContext();
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
    const gl = this.#gl;
    const { half, width, height } = this.#square();
    const { k, x, y } = this.#camera;
    gl.viewport(0, 0, this.#canvas.width, this.#canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.#program);
    const uniform = (name: string): WebGLUniformLocation | null => gl.getUniformLocation(this.#program, name);
    gl.uniform2f(uniform("scale"), (2 * k * half) / width, (2 * k * half) / height);
    gl.uniform2f(uniform("shift"), (2 * (x + (k * width) / 2)) / width - 1, 1 - (2 * (y + (k * height) / 2)) / height);
    // Many points are small until one looks closer.
    const size = Math.min(9, Math.max(1.6, (520 / Math.sqrt(this.#count)) * Math.sqrt(k)));
    gl.uniform1f(uniform("size"), size * window.devicePixelRatio);
    for (const [marks, ink, alpha] of [
      [false, this.#inks.plain, this.#count > 50_000 ? 0.45 : 0.7],
      [true, this.#inks.marked, 1],
    ] as const) {
      gl.uniform1i(uniform("marks"), marks ? 1 : 0);
      gl.uniform4f(uniform("ink"), ...channels(ink), alpha);
      gl.drawArrays(gl.POINTS, 0, this.#count);
    }
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

/** Red, green and blue of a colour as CSS computes it, each 0 to 1. */
function channels(colour: string): [number, number, number] {
  const numbers = colour.match(/[\d.]+/g)?.map(Number) ?? [];
  const [r = 0, g = 0, b = 0] = numbers;
  return [r / 255, g / 255, b / 255];
}

function linked(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(type)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (gl.getProgramParameter(program, gl.LINK_STATUS) !== true)
    throw new Error(`WebGL: ${gl.getProgramInfoLog(program)}`);
  return program;
}
