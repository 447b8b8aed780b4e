import v8 from 'node:v8';

// The mirror's live data is two pages. With its defaults V8 lets several times as much garbage pile up before it looks, which doubles
// the process for nothing; with these it stays near what is in use, at no speed that could be measured. They have to be set before the program is loaded.
v8.setFlagsFromString('--max-semi-space-size=2');
v8.setFlagsFromString('--semi-space-growth-factor=1');
v8.setFlagsFromString('--heap-growing-percent=20');
// Prisma's query compiler is WebAssembly. V8 compiles it twice, quickly and then thoroughly; the second time takes 40 MB for a moment, and gains nothing here:
// our statements are written out, there is little to compile in them.
v8.setFlagsFromString('--liftoff-only');
