import type { Asker } from './ask.ts';

export type AfterWeather = 'again' | 'change' | 'keep';

/** The other side did not answer, which says nothing about the answers. */
export const askAfterWeather = (ask: Asker): Promise<AfterWeather> =>
  ask.choose<AfterWeather>('It could not be tried. What now?', [
    { value: 'again', label: 'Try again' },
    { value: 'change', label: 'Change the answers' },
    { value: 'keep', label: 'Keep them, untried' },
  ]);
