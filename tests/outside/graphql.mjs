// Runs the audits of graphql-http (the specification GraphQL over HTTP) against a running server.
import { serverAudits } from 'graphql-http';

const { ENDPOINT, TOKEN } = process.env;
const asUs = (url, init = {}) =>
  fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${TOKEN}` } });
const audits = serverAudits({ url: ENDPOINT, fetchFn: asUs });
const missed = [];
for (const audit of audits) {
  const { status, reason } = await audit.fn();
  // `notice` is about what a server may do, so it is ignored.
  if (status === 'error' || status === 'warn') missed.push(`${audit.id} ${audit.name}: ${reason}`);
}
console.log(audits.length > 50 && missed.length === 0 ? 'ok' : `${audits.length} audits, missed:\n${missed.join('\n')}`);
