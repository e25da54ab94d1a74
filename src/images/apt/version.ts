/** Debian package versions: `[epoch:]upstream[-revision]` (Debian Policy 5.6.12). */

interface Parts {
  readonly epoch: number;
  readonly upstream: string;
  readonly revision: string;
}

function parts(version: string): Parts {
  const colon = version.indexOf(':');
  const epoch = colon < 0 ? 0 : Number(version.slice(0, colon));
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return {
    epoch: Number.isFinite(epoch) ? epoch : 0,
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? '' : rest.slice(dash + 1),
  };
}

/** The weight of one character: `~` before the end of the string, letters before everything else. */
function weight(text: string, at: number): number {
  const code = at < text.length ? text.charCodeAt(at) : 0;
  if (code === 0 || (code >= 0x30 && code <= 0x39)) return 0;
  if (code === 0x7e) return -1;
  const letter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
  return letter ? code : code + 256;
}

const isDigit = (text: string, at: number): boolean => at < text.length && text[at]! >= '0' && text[at]! <= '9';

/** Compares two upstream versions or two revisions: alternating non-digit and digit runs. */
function compareRuns(a: string, b: string): number {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a, i)) || (j < b.length && !isDigit(b, j))) {
      const difference = weight(a, i) - weight(b, j);
      if (difference !== 0) return Math.sign(difference);
      if (!isDigit(a, i)) i++;
      if (!isDigit(b, j)) j++;
    }
    const digitsA = /^0*(\d*)/.exec(a.slice(i))!;
    const digitsB = /^0*(\d*)/.exec(b.slice(j))!;
    const [numberA, numberB] = [digitsA[1]!, digitsB[1]!];
    if (numberA.length !== numberB.length) return numberA.length < numberB.length ? -1 : 1;
    if (numberA !== numberB) return numberA < numberB ? -1 : 1;
    i += digitsA[0].length;
    j += digitsB[0].length;
  }
  return 0;
}

/** Negative if `a` is older than `b`, positive if newer, 0 if they are the same version. */
export function compareVersions(a: string, b: string): number {
  const left = parts(a);
  const right = parts(b);
  if (left.epoch !== right.epoch) return left.epoch < right.epoch ? -1 : 1;
  return compareRuns(left.upstream, right.upstream) || compareRuns(left.revision, right.revision);
}
