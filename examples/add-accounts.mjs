// Adds the accounts of a file to a running leadmirror, one JSON object a line: {"source":"tiledesk","projectId":"…","email":"…","password":"…","label":"…"}
//   OPS_TOKEN=… node examples/add-accounts.mjs accounts.ndjson
import { readFileSync } from 'node:fs';

const url = process.env.LEADMIRROR_URL ?? 'http://127.0.0.1:8080';
const headers = { authorization: `Bearer ${process.env.OPS_TOKEN}`, 'content-type': 'application/json' };
for (const body of readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean)) {
  const { added, error } = await (await fetch(`${url}/api/connections`, { method: 'POST', headers, body })).json();
  console.log(added ?? `${error.code}: ${error.message}`);
  if (error && error.code !== 'connection_exists') process.exitCode = 1;
}
