/**
 * A copy without the entries that `isForbidden` names, at any depth; the same object when there are none, so that a clean record costs no copy. What a
 * forbidden entry holds is gone with it.
 */
export function dropEntries(value: unknown, isForbidden: (key: string, value: unknown) => boolean): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    // A loop: a callback would double the depth of the stack, and some records are nested deeply.
    const copy: unknown[] = [];
    for (const entry of value) copy.push(dropEntries(entry, isForbidden));
    return copy.some((entry, index) => entry !== value[index]) ? copy : value;
  }
  let changed: Record<string, unknown> | null = null;
  const source = value as Record<string, unknown>;
  for (const key in source) {
    const inner = source[key];
    if (isForbidden(key, inner)) {
      changed ??= { ...source };
      delete changed[key];
      continue;
    }
    const kept = dropEntries(inner, isForbidden);
    if (kept === inner) continue;
    changed ??= { ...source };
    changed[key] = kept;
  }
  return changed ?? value;
}
