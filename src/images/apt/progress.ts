/** How long work tells what it is doing. */

/** One piece of work: a download, an archive being read. */
export interface ProgressStep {
  /** `done` more bytes are there. */
  advance(bytes: number): void;
  /** The step has come to its end, well or not. */
  end(): void;
}

export interface Progress {
  /** Begins a step. `total` in bytes, if it is known. */
  step(label: string, total?: number): ProgressStep;
  /** Something that the user should know although the work goes on. */
  warn(message: string): void;
}

/** Tells nobody. */
export const SILENT: Progress = {
  step: () => ({ advance: () => {}, end: () => {} }),
  warn: () => {},
};
