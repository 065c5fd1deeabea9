//! `inopsio token`: tokens for callers of the API.

use std::time::Duration;

use anyhow::{Result, bail};
use directory::Directory;
use gateway::operator;
use kernel::Role;
use serde_json::json;

use crate::context::Context;
use crate::output::{self, Format};
use crate::time;

/// A token for a caller of the API: of the tenant's issuer, for the command line as a machine of the tenant
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).multiple(true).args(["roles", "subject"])))]
#[command(after_help = "Examples:
  inopsio token --tenant demo --role admin --ttl 8h
  TOKEN=$(inopsio token --tenant demo --role member --role viewer)
  inopsio token --tenant demo --subject <id of a user>

With --role, the command line is a machine of the tenant, registered the first time: it stands among the tenant's machines,
what it does is in its name, and whoever deactivates it ends its tokens. The issuer is where the server is (http.public_url,
else http.host and http.port). With --subject, the token is signed with the installation's own key: nobody signs in as
somebody else at the tenant's issuer.")]
pub struct Token {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// What the caller is: admin, manager, member, viewer or auditor; may be given several times
    #[arg(long = "role")]
    roles: Vec<Role>,
    /// For how long: 90s, 15m, 8h, 30d
    #[arg(long, default_value = "8h", value_parser = time::parse_duration)]
    ttl: Duration,
    /// In whose name, instead: the id of a user (a UUID), who may then do what they may, or with --role anybody, by whatever
    /// name. Signed with the installation's key
    #[arg(long, value_parser = subject)]
    subject: Option<String>,
}

fn subject(text: &str) -> Result<String, String> {
    if gateway::auth::is_subject(text) {
        Ok(text.to_owned())
    } else {
        Err("allowed are 1 to 255 characters, not all of them spaces, none of them a control character".to_owned())
    }
}

impl Token {
    /// Prints a token.
    pub async fn run(self, context: &Context) -> Result<()> {
        let config = &context.config;
        if let (Some(subject), []) = (&self.subject, self.roles.as_slice())
            && subject.parse::<uuid::Uuid>().is_err()
        {
            bail!("--subject {subject:?} is no id of a user; allowed is a UUID, or any name with at least one --role");
        }
        let tenant = context.tenant(&self.tenant).await?;
        if Directory::open(config).suspended().await?.contains(&tenant) {
            bail!(
                "{} is suspended, or is to be deleted: no token of it would be taken; see `inopsio tenant list`",
                self.tenant
            );
        }
        let token = if let Some(subject) = &self.subject {
            gateway::auth::mint(&config.auth, tenant, subject, &self.roles, self.ttl)?
        } else {
            let found = Directory::open(config).find(&self.tenant).await?;
            operator::issue(config, operator::address(config)?, &found, &self.roles, self.ttl).await?
        };
        match context.format {
            Format::Json => {
                output::print_json(&json!({ "token": token, "tenant_id": tenant, "expires_in": self.ttl.as_secs() }))
            }
            Format::Text => output::print(token),
        }
    }
}
