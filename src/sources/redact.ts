export const DROPPED = Symbol('dropped');

/** What is kept of a value, or `DROPPED`. `key`: its name, or its list's; `object`: what holds it. */
type Decide = (key: string, value: unknown, object: Readonly<Record<string, unknown>> | null) => unknown;

/**
 * More levels than any real record has; what is deeper ends in quarantine without its text. A list takes two frames a
 * level: from about 2,200 levels on the stack may end first.
 */
const MAX_LEVELS = 2000;

/**
 * A copy of a record in which every entry, at any depth, is what `decide` keeps of it; the same object when nothing
 * changes. What a dropped entry holds is dropped with it. @throws RangeError when nested too deeply
 */
export function rewriteEntries(record: unknown, decide: Decide): unknown {
  return rewrite('', record, decide, 0);
}

/** Loops: callbacks would double the depth of the stack, and some records are nested deeply. */
function rewrite(name: string, value: unknown, decide: Decide, level: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (level > MAX_LEVELS) throw new RangeError(`nested more than ${MAX_LEVELS} levels deep`);
  if (Array.isArray(value)) return rewriteList(name, value, decide, level);
  let changed: Record<string, unknown> | null = null;
  const source = value as Record<string, unknown>;
  for (const key in source) {
    const inner = source[key];
    const kept = rewrite(key, decide(key, inner, source), decide, level + 1);
    if (kept === inner) continue;
    changed ??= { ...source };
    if (kept === DROPPED) delete changed[key];
    else changed[key] = kept;
  }
  return changed ?? value;
}

function rewriteList(name: string, list: readonly unknown[], decide: Decide, level: number): unknown {
  let changed: unknown[] | null = null;
  for (let index = 0; index < list.length; index += 1) {
    const inner = list[index];
    const kept = rewrite(name, decide(name, inner, null), decide, level + 1);
    if (kept === inner) changed?.push(inner);
    else {
      changed ??= list.slice(0, index);
      if (kept !== DROPPED) changed.push(kept);
    }
  }
  return changed ?? list;
}

/** A copy without the entries that `isForbidden` names, at any depth; the same object when there are none. */
export function dropEntries(record: unknown, isForbidden: (key: string, value: unknown) => boolean): unknown {
  return rewriteEntries(record, (key, value, object) => (object !== null && isForbidden(key, value) ? DROPPED : value));
}
