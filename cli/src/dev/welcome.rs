//! What a development environment says when it is ready: where it is, a token, and three things to try.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use directory::Tenant;
use gateway::Config;
use kernel::Role;

use crate::output;

/// How long the printed token is good for.
const TOKEN_TTL: Duration = Duration::from_hours(8);

/// Prints it to standard output; the log goes to standard error.
pub async fn print(config: &Config, address: SocketAddr, tenant: &Tenant) -> Result<()> {
    let token = gateway::operator::issue(config, address, tenant, &[Role::Admin], TOKEN_TTL).await;
    // Somebody may have ended that machine, which is no reason not to run.
    let token = token.unwrap_or_else(|error| format!("… # none: {error}"));
    output::print(text(&format!("http://{address}"), &tenant.slug, &token))
}

fn text(url: &str, tenant: &str, token: &str) -> String {
    format!(
        r#"
Inopsio is ready.

  API          {url}/v1/…       described at {url}/docs and {url}/openapi.json
  GraphQL      {url}/graphql    with GraphiQL in a browser
  State        {url}/ready      {url}/health   {url}/metrics
  Mail         {url}/dev/mail   caught, not sent; text messages, too

A token for the tenant {tenant}, of its issuer (role admin, 8 hours; another: inopsio token --tenant {tenant} --role viewer):

export TOKEN={token}

Try:

curl -s {url}/v1/crm/leads -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"name": "Ada Lovelace", "company": "Analytical Engines", "email": "ada@example.com"}}'
curl -s {url}/graphql -H "Authorization: Bearer $TOKEN" -H 'X-Min-Position: crm=1' -H 'Content-Type: application/json' -d '{{"query": "{{ crm {{ leads(first: 5) {{ edges {{ node {{ id name company }} }} }} }} }}"}}'
curl -s {url}/ready

Ctrl-C stops everything.
"#
    )
}
