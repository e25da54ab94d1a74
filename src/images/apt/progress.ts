/** How long work tells what it is doing. */

/** One piece of work: a download, an archive being read. */
export interface ProgressStep {
  /** So many more bytes, or whatever the step counts, are there. */
  advance(count: number): void;
  /** The step has come to its end, well or not. */
  end(): void;
}

export interface Progress {
  /** Begins a step. `total`, if it is known, is in bytes unless `unit` says what is counted. */
  step(label: string, total?: number, unit?: string): ProgressStep;
  /** Something that the user should know although the work goes on. */
  warn(message: string): void;
}

/** Tells nobody. */
export const SILENT: Progress = {
  step: () => ({ advance: () => {}, end: () => {} }),
  warn: () => {},
};
