import type { CodesType, RowsType } from "./wire-task.ts";

/** How an answer is written, without HTTP's names. */
export type AnswerType = CodesType | RowsType;
