import './typescript.js';
import { relative } from 'node:path';
import { TestEnvironment } from 'jest-environment-node';

const { Recorder } = await import('./printed/recorder.ts');
const { SAID_DIRECTORY_VARIABLE } = await import('./printed/record.ts');

let files = 0;

/** The usual surroundings of a test file, in which what our program says is written down for the search at the end of the run. */
export default class RecordedEnvironment extends TestEnvironment {
  #recorder;
  #file;

  constructor(config, context) {
    super(config, context);
    this.#file = relative(config.projectConfig.rootDir, context.testPath);
  }

  async setup() {
    await super.setup();
    const directory = process.env[SAID_DIRECTORY_VARIABLE];
    if (directory === undefined) return;
    this.#recorder = new Recorder({ directory, name: `${process.pid}-${files++}`, test: this.#file });
    this.global.fetch = this.#recorder.wrapFetch(this.global.fetch);
  }

  handleTestEvent({ name, test }) {
    if (this.#recorder === undefined) return;
    if (name === 'test_start') this.#recorder.test = `${this.#file}: ${nameOf(test)}`;
  }

  async teardown() {
    await this.#recorder?.close();
    await super.teardown();
  }
}

/** As it is printed: the names of the blocks around it, then its own. */
function nameOf(test) {
  const names = [];
  for (let each = test; each?.parent !== undefined; each = each.parent) names.unshift(each.name);
  return names.join(' ');
}
