// Compares the reports of one test under Artillery and under Nuncius. Argument: what their files begin with.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const TOLERANCE = 0.03;

// What is known to differ: a redirect that is followed has no answer of its own, and its time is that of both requests;
// who takes which scenario is drawn; of an event that is answered Artillery waits for its own timeout of 10 s.
const KNOWN = {
  '03-socketio': /^(socketio\.response_time|vusers\.session_length)$/,
  '07-flow': /^(http\.(codes\.302|responses|response_time\.3xx)|.*\.redirected|vusers\.session_length)$/,
  '10-weights': /^vusers\.created_by_name\./,
};

const base = process.argv[2];
const name = path.basename(base);
const read = (ending) => JSON.parse(fs.readFileSync(`${base}.${ending}`, 'utf8'));
const [theirs, ours] = ['artillery', 'nuncius'].map((what) => read(what).aggregate);
const known = KNOWN[name] ?? /^$/;
const wrong = [];
const told = [];

const all = (key) => [...new Set([...Object.keys(theirs[key] ?? {}), ...Object.keys(ours[key] ?? {})])].sort();
const tell = (counter, text) => (known.test(counter) ? told : wrong).push(text);

// What a byte of a message is differs: theirs is the body alone.
const counters = all('counters').filter((counter) => counter !== 'http.downloaded_bytes');
for (const counter of counters) {
  const [a, b] = [theirs.counters[counter], ours.counters[counter]];
  if (a !== b) tell(counter, `${counter}: ${a} with Artillery, ${b} here`);
}
let worst = { difference: 0, text: 'none' };
for (const summary of all('summaries')) {
  const [a, b] = [theirs.summaries?.[summary], ours.summaries?.[summary]];
  if (!a || !b) {
    tell(summary, `${summary}: only ${a ? 'with Artillery' : 'here'}`);
    continue;
  }
  for (const quantile of ['median', 'p95']) {
    // Times of a few milliseconds are those of the two programs themselves.
    const difference = Math.abs(a[quantile] - b[quantile]) / Math.max(a[quantile], 10);
    const text = `${summary} ${quantile}: ${a[quantile]} with Artillery, ${b[quantile]} here`;
    if (difference > worst.difference) worst = { difference, text };
    if (difference > TOLERANCE) tell(summary, `${text} (${(100 * difference).toFixed(1)} %)`);
  }
}
const seen = ['artillery', 'nuncius'].map((what) => JSON.stringify(read(`${what}.counts`)));
if (seen[0] !== seen[1]) wrong.push(`the server counted ${seen[0]} with Artillery, ${seen[1]} here`);

console.log(`${name}: ${counters.length} counters, ${wrong.length} differ; largest difference of a percentile ` +
  `${(100 * worst.difference).toFixed(1)} %: ${worst.text}`);
for (const text of wrong) console.log(`  WRONG ${text}`);
for (const text of told) console.log(`  ${text}`);
process.exit(wrong.length === 0 ? 0 : 1);
