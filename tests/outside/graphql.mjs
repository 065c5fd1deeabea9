// The audits of graphql-http (GraphQL over HTTP): what a server must and should do, against a running one.
import { serverAudits } from 'graphql-http';

const { ENDPOINT, TOKEN } = process.env;
const asUs = (url, init = {}) =>
  fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${TOKEN}` } });
const audits = serverAudits({ url: ENDPOINT, fetchFn: asUs });
const missed = [];
for (const audit of audits) {
  const { status, reason } = await audit.fn();
  // `notice`: what a server may do.
  if (status === 'error' || status === 'warn') missed.push(`${audit.id} ${audit.name}: ${reason}`);
}
console.log(audits.length > 50 && missed.length === 0 ? 'ok' : `${audits.length} audits, missed:\n${missed.join('\n')}`);
