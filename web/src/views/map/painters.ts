/** Draw points on a canvas: WebGL 2 draws a quarter of a million in one call; where a browser has none, pixels are set one by one. */

/** Colours as CSS computes them. */
export interface Inks {
  readonly plain: string;
  readonly marked: string;
}

interface Look {
  /** Clip space (−1 to 1, upwards) = place · scale + shift. */
  readonly scale: readonly [number, number];
  readonly shift: readonly [number, number];
  /** Diameter of a point in pixels of the canvas. */
  readonly size: number;
  /** Of plain points. */
  readonly alpha: number;
  readonly inks: Inks;
}

export interface Painter {
  readonly fast: boolean;
  /** @param marks [m] 1: the point stands out */
  mark(marks: Float32Array): void;
  draw(look: Look): void;
  destroy(): void;
}

/** @param places [m, 2] @throws Error where the browser has no canvas at all */
export function startPainter(canvas: HTMLCanvasElement, places: Float32Array): Painter {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
  if (gl !== null) return new GlPainter(gl, places);
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("This browser draws on no canvas. Use another one.");
  return new PixelPainter(context, places);
}

/** Marked points are larger. */
const markedSize = (size: number): number => Math.max(size * 1.6, 7);

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

class GlPainter implements Painter {
  readonly fast = true;
  readonly #gl: WebGL2RenderingContext;
  readonly #program: WebGLProgram;
  readonly #marks: WebGLBuffer;
  readonly #count: number;

  constructor(gl: WebGL2RenderingContext, places: Float32Array) {
    this.#gl = gl;
    this.#count = places.length / 2;
    this.#program = linked(gl);
    this.#attribute("place", 2, places, gl.STATIC_DRAW);
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

  mark(marks: Float32Array): void {
    this.#gl.bindBuffer(this.#gl.ARRAY_BUFFER, this.#marks);
    this.#gl.bufferSubData(this.#gl.ARRAY_BUFFER, 0, marks);
  }

  draw({ scale, shift, size, alpha: plain, inks }: Look): void {
    const gl = this.#gl;
    gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.#program);
    const uniform = (name: string): WebGLUniformLocation | null => gl.getUniformLocation(this.#program, name);
    gl.uniform2f(uniform("scale"), ...scale);
    gl.uniform2f(uniform("shift"), ...shift);
    gl.uniform1f(uniform("size"), size);
    for (const [marks, ink, alpha] of [
      [false, inks.plain, plain],
      [true, inks.marked, 1],
    ] as const) {
      const [r, g, b] = channels(ink);
      gl.uniform1i(uniform("marks"), marks ? 1 : 0);
      gl.uniform4f(uniform("ink"), r / 255, g / 255, b / 255, alpha);
      gl.drawArrays(gl.POINTS, 0, this.#count);
    }
  }

  destroy(): void {
    this.#gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

/** Squares of pixels, without a graphics card: tens of milliseconds for a quarter of a million points. */
class PixelPainter implements Painter {
  readonly fast = false;
  readonly #context: CanvasRenderingContext2D;
  readonly #places: Float32Array;
  #marks: Float32Array;

  constructor(context: CanvasRenderingContext2D, places: Float32Array) {
    this.#context = context;
    this.#places = places;
    this.#marks = new Float32Array(places.length / 2);
  }

  mark(marks: Float32Array): void {
    this.#marks = marks;
  }

  draw({ scale, shift, size, alpha, inks }: Look): void {
    const { width, height } = this.#context.canvas;
    const image = this.#context.createImageData(width, height);
    for (const [marked, ink, opacity, side] of [
      [0, inks.plain, alpha, size],
      [1, inks.marked, 1, markedSize(size)],
    ] as const) {
      const colour = [...channels(ink), 255 * opacity];
      const edge = Math.max(1, Math.round(side));
      for (let i = 0; i < this.#marks.length; i++) {
        if (this.#marks[i] !== marked) continue;
        const x = ((this.#places[2 * i]! * scale[0] + shift[0] + 1) / 2) * width - edge / 2;
        const y = ((1 - this.#places[2 * i + 1]! * scale[1] - shift[1]) / 2) * height - edge / 2;
        fill(image, Math.round(x), Math.round(y), edge, colour);
      }
    }
    this.#context.putImageData(image, 0, 0);
  }

  destroy(): void {
    this.#context.clearRect(0, 0, this.#context.canvas.width, this.#context.canvas.height);
  }
}

/** Sets a square of pixels, as much of it as lies within the image. */
function fill({ data, width, height }: ImageData, left: number, top: number, side: number, colour: number[]): void {
  for (let y = Math.max(0, top); y < Math.min(height, top + side); y++)
    for (let x = Math.max(0, left); x < Math.min(width, left + side); x++) data.set(colour, 4 * (y * width + x));
}

/** Red, green and blue of a colour as CSS computes it, each 0 to 255. */
function channels(colour: string): [number, number, number] {
  const numbers = colour.match(/[\d.]+/g)?.map(Number) ?? [];
  const [r = 0, g = 0, b = 0] = numbers;
  return [r, g, b];
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
