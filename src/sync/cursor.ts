import type { WalkState } from '../stream.ts';

/** Where an unfinished pass stands: which list, and how far its walk got. JSON in the checkpoint. */
export interface PassCursor {
  readonly listId: string;
  /** The walk's kind: a server that turned out to know less is read by another one, which begins anew. */
  readonly kind: string;
  readonly walk: WalkState;
}

/** Raised when the shape of a walk's state changes: an older cursor then starts its walk again. */
const VERSION = 3;

export function encodeCursor(cursor: PassCursor): unknown {
  return { version: VERSION, list: cursor.listId, kind: cursor.kind, walk: cursor.walk };
}

/** Null when there is none, or one that this version does not understand. */
export function decodeCursor(stored: unknown): PassCursor | null {
  if (typeof stored !== 'object' || stored === null) return null;
  const { version, list, kind, walk } = stored as Record<string, unknown>;
  if (version !== VERSION || typeof list !== 'string' || typeof kind !== 'string') return null;
  if (typeof walk !== 'object' || walk === null || Array.isArray(walk)) return null;
  return { listId: list, kind, walk: walk as WalkState };
}
