import { OrthogonalLoop } from "./orthogonal-loop.ts";
import type { RowJob } from "./row-job.ts";
import { RowLoop, type RowLoopOptions } from "./row-loop.ts";

/** What one thread does with jobs: the loop that a job asks for, each made when the first job asks for it. */
export class JobLoop {
  readonly #options: RowLoopOptions;
  #plain: RowLoop | null = null;
  #orthogonal: Partial<Record<NonNullable<RowJob["orthogonal"]>, OrthogonalLoop>> = {};

  constructor(options: RowLoopOptions) {
    this.#options = options;
  }

  /** As {@link RowLoop.run}. */
  run(job: RowJob, gram: boolean, next: () => number): void {
    const { orthogonal: score } = job;
    if (score === null) {
      this.#plain ??= new RowLoop(this.#options);
      this.#plain.run(job, gram, next);
    } else {
      const { module, arena, lane } = this.#options;
      const loop = (this.#orthogonal[score] ??= new OrthogonalLoop({ module, arena, lane, score }));
      loop.run(job, gram, next);
    }
  }
}
