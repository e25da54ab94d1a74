/** Listeners by the name of an event. */

export interface Events<Map extends object> {
  /** Returns what ends the listening. */
  on<Name extends keyof Map>(name: Name, listener: (detail: Map[Name]) => void): () => void;
  emit<Name extends keyof Map>(name: Name, detail: Map[Name]): void;
}

export function createEvents<Map extends object>(): Events<Map> {
  const listeners = new Set<{ readonly name: keyof Map; readonly listener: (detail: never) => void }>();
  return {
    on(name, listener) {
      // The same function may listen twice.
      const entry = { name, listener };
      listeners.add(entry);
      return () => void listeners.delete(entry);
    },
    emit(name, detail) {
      for (const entry of [...listeners]) {
        if (entry.name !== name) continue;
        try {
          entry.listener(detail as never);
        } catch (error) {
          // A listener's own failure is told as any that nobody handles, and nobody else's.
          void Promise.reject(error);
        }
      }
    },
  };
}
