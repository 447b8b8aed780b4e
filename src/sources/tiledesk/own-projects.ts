import type { Upstream } from '../../http/upstream.ts';
import type { FetchOptions } from '../../stream.ts';
import { asId, asText, isObject } from '../coerce.ts';
import type { SignIn } from './sign-in.ts';

export interface OwnProject {
  readonly id: string;
  readonly name: string | null;
  readonly role: string | null;
}

/** The account's projects; null where the server does not return them. @throws AuthError when it refuses the account */
export async function fetchOwnProjects(
  { baseUrl, signIn, upstream }: { readonly baseUrl: string; readonly signIn: SignIn; readonly upstream: Upstream },
  options: FetchOptions,
): Promise<readonly OwnProject[] | null> {
  const authorization = await signIn.header(options);
  const { status, body } = await upstream.request(
    { method: 'GET', url: `${baseUrl}/projects`, headers: { authorization, accept: 'application/json' } },
    options,
  );
  return status === 200 ? membershipsIn(body) : null;
}

/** Null: no list of projects. */
export function membershipsIn(body: unknown): readonly OwnProject[] | null {
  if (!Array.isArray(body)) return null;
  return body.filter(isObject).flatMap(({ id_project: project, role }) => {
    const id = asId(project);
    if (id === null) return [];
    return [{ id, name: nameIn(project), role: asText(role) }];
  });
}

/** The project's name as labels are: one line of at most 80 characters. Null: it has none. */
export function nameIn(project: unknown): string | null {
  const text = isObject(project) ? (asText(project.name) ?? '') : '';
  const line = [...text.replace(/[\p{C}\s]+/gu, ' ').trim()].slice(0, 80).join('');
  return line === '' ? null : line;
}
