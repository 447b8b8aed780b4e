import { z } from 'zod';

/** What the validation of one setting has to know of others and of the process. */
export interface Surroundings {
  readonly cwd: string;
  readonly isTerminal: boolean;
  /** The time zone of the two schedules. */
  readonly timezone: string;
  readonly hasOpsToken: boolean;
  readonly isPublic: boolean;
  readonly allowInsecureHttp: boolean;
  readonly historyLabel: string;
}

type Reader<S> = S | ((known: Surroundings) => S);

/** One variable, declared once: the text that it stands for when it is unset, or null, and the schema of its text. */
export interface Declared<S extends z.ZodType> {
  readonly default: string | null;
  readonly secret?: true;
  readonly schema: Reader<S>;
}

const optional = <S extends z.ZodType>(schema: Reader<S>): Reader<z.ZodOptional<S>> =>
  typeof schema === 'function' ? (known) => schema(known).optional() : schema.optional();

export const preset = <S extends z.ZodType>(value: string, schema: Reader<S>): Declared<S> => ({
  default: value,
  schema,
});

export const unset = <S extends z.ZodType>(schema: Reader<S>): Declared<z.ZodOptional<S>> => ({
  default: null,
  schema: optional(schema),
});

export const secret = <S extends z.ZodType>(schema: Reader<S>): Declared<z.ZodOptional<S>> => ({
  ...unset(schema),
  secret: true,
});

type Schemas<T> = { -readonly [K in keyof T]: T[K] extends Declared<infer S> ? S : never };

export const schemasOf = <T extends Readonly<Record<string, Declared<z.ZodType>>>>(declared: T, known: Surroundings) =>
  Object.fromEntries(
    Object.entries(declared).map(([name, { schema }]) => [name, schema instanceof z.ZodType ? schema : schema(known)]),
  ) as Schemas<T>;
