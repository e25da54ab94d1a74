/** The stanza format of Debian's control data: `Field: value`, continuation lines, blank lines between stanzas (deb822(5)). */

/** Field names in lower case. The value keeps its line breaks, each continuation line without its first space. */
export type Stanza = ReadonlyMap<string, string>;

/** Parses one stanza; lines that are no field and no continuation are skipped. */
export function parseStanza(text: string): Stanza {
  const fields = new Map<string, string>();
  let field: string | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue;
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (field !== undefined) fields.set(field, `${fields.get(field)}\n${line.slice(1).trimEnd()}`);
      continue;
    }
    const colon = line.indexOf(':');
    if (colon <= 0) {
      field = undefined;
      continue;
    }
    field = line.slice(0, colon).toLowerCase();
    fields.set(field, line.slice(colon + 1).trim());
  }
  return fields;
}

/** Parses all stanzas of a file. */
export function parseStanzas(text: string): Stanza[] {
  return text
    .replaceAll('\r\n', '\n')
    .split(/\n[ \t]*(?:\n[ \t]*)*\n/)
    .map(parseStanza)
    .filter((stanza) => stanza.size > 0);
}

/** The words of a field, split at white space; empty if the field is not there. */
export function words(value: string | undefined): string[] {
  return (value ?? '').split(/\s+/).filter((word) => word !== '');
}
