//! The text that a development environment prints when it is ready: addresses, a token, and commands to try.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use directory::Tenant;
use gateway::Config;
use kernel::Role;

use crate::output;

/// Lifetime of the printed token.
const TOKEN_TTL: Duration = Duration::from_hours(8);

/// Prints the text to standard output (the log goes to standard error).
pub async fn print(config: &Config, address: SocketAddr, tenant: &Tenant) -> Result<()> {
    let token = gateway::operator::issue(config, address, tenant, &[Role::Admin], TOKEN_TTL).await;
    // The command line's machine account may have been revoked. The environment works without a token.
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
