/** Paths of both products: `/leads/:id` names its variable parts. */

export interface Pattern {
  readonly method: string;
  readonly pattern: RegExp;
}

export type Params = Readonly<Record<string, string>>;

/** `end` is what may follow, as an expression. */
export const pathPattern = (path: string, end = '/?'): RegExp =>
  new RegExp(`^${path.replaceAll(/:(\w+)/g, '(?<$1>[^/]+)')}${end}$`);

/** @throws URIError for a path that does not decode */
export function findRoute<R extends Pattern>(
  routes: readonly R[],
  { method, path }: { method: string; path: string },
): { readonly route: R; readonly params: Params } | undefined {
  const route = routes.find((one) => one.method === method && one.pattern.test(path));
  if (!route) return undefined;
  const groups = Object.entries(route.pattern.exec(path)?.groups ?? {});
  return { route, params: Object.fromEntries(groups.map(([name, text]) => [name, decodeURIComponent(text)])) };
}
