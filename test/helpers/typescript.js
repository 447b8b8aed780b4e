import { register } from 'node:module';

/** Imported (`node --import`), it lets a plain Node process run our sources as they are. */
register('./typescript-hooks.js', import.meta.url);
