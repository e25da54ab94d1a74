/** Regions that were compiled before, for whoever asks for the same: another vCPU, or one that had it and lost it. */
import type { CompiledRegion, RegionRequest } from './compiler.ts';

/** Most bytes of modules that are kept: what many programs run, several times over. */
export const KEPT_BYTES = 16 * 1024 * 1024;

/** What of a compiled region is kept. The engine keeps the code of a module that is alive for whoever has the same bytes. */
type Kept = Omit<CompiledRegion, 'module'>;

export interface CompiledRegions {
  get(request: RegionRequest): Kept | undefined;
  /** Keeps a region; the ones asked for longest ago go where there are too many. */
  put(request: RegionRequest, made: Kept): void;
}

/** Equal for requests that are answered by the same module. */
function keyOf({ mode, blocks, checked, code }: RegionRequest): string {
  let bytes = '';
  for (const byte of code) bytes += String.fromCharCode(byte);
  return `${JSON.stringify([mode, blocks, checked])}${bytes}`;
}

/** Keeps regions that are told their numbers when they are linked; others are for one place only. */
export function createCompiledRegions(limit = KEPT_BYTES): CompiledRegions {
  /** In the order in which they were asked for. */
  const regions = new Map<string, Kept>();
  let size = 0;
  const sizeOf = (key: string, { bytes }: Kept) => key.length + bytes.length;
  return {
    get(request) {
      if (request.numbers !== undefined) return undefined;
      const key = keyOf(request);
      const kept = regions.get(key);
      if (kept === undefined) return undefined;
      regions.delete(key);
      regions.set(key, kept);
      return kept;
    },
    put(request, { imports, bytes, cells }) {
      if (request.numbers !== undefined) return;
      const key = keyOf(request);
      const kept = { imports, bytes, cells };
      regions.set(key, kept);
      size += sizeOf(key, kept);
      for (const [oldest, other] of regions) {
        if (size <= limit) break;
        regions.delete(oldest);
        size -= sizeOf(oldest, other);
      }
    },
  };
}
