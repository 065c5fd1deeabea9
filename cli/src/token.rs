//! `inopsio token`: issues tokens for callers of the API.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use directory::Directory;
use gateway::operator;
use kernel::{Role, UserId};
use serde_json::json;

use crate::context::Context;
use crate::output::{self, Format};
use crate::selection::check_user;
use crate::time;

/// Prints a token for a caller of the API, issued by the tenant's issuer to the command line as a machine of the tenant
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).multiple(true).args(["roles", "subject"])))]
#[command(after_help = "Examples:
  inopsio token --tenant demo --role admin --ttl 8h
  TOKEN=$(inopsio token --tenant demo --role member --role viewer)
  inopsio token --tenant demo --subject 0197a8a0-0000-7000-8000-000000000001

With --role, the command line acts as a machine of the tenant, which is registered the first time: it is listed among the tenant's
machines, its actions are recorded in its name, and deactivating it ends its tokens. The issuer is the server's address
(http.public_url, else http.host and http.port). With --subject, the token is signed with the installation's own key, because at the
tenant's issuer nobody can sign in as somebody else.")]
pub struct Token {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// The caller's role: admin, manager, member, viewer or auditor; may be given several times
    #[arg(long = "role")]
    roles: Vec<Role>,
    /// Lifetime: 90s, 15m, 8h, 30d
    #[arg(long, default_value = "8h", value_parser = time::parse_duration)]
    ttl: Duration,
    /// Another subject: the id of a user (a UUID), with that user's permissions, or any name together with --role. Signed with the
    /// installation's key
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
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let config = &context.config;
        let user = self.user()?;
        let tenant = context.tenant_anywhere(&self.tenant).await?;
        if Directory::open(config).suspended().await?.contains(&tenant) {
            bail!(
                "{} is suspended, or is to be deleted: its tokens would be refused; see `inopsio tenant list`",
                self.tenant
            );
        }
        if let Some(user) = user {
            // Nobody else has permissions without a role: the token would be refused everywhere, for the lack of permissions.
            check_user(context, (self.tenant.as_str(), tenant), user).await?;
        }
        let token = if let Some(subject) = &self.subject {
            let subject = user.map_or_else(|| subject.clone(), |user| user.to_string());
            gateway::auth::mint(&config.auth, tenant, &subject, &self.roles, self.ttl)?
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

    /// The user whose token this is: a subject without roles of its own.
    fn user(&self) -> Result<Option<UserId>> {
        let (Some(subject), []) = (&self.subject, self.roles.as_slice()) else { return Ok(None) };
        let user = subject.parse::<UserId>().with_context(|| {
            format!(
                "--subject {subject:?} is not the id of a user; allowed is a UUID, or any name with at least one --role"
            )
        })?;
        Ok(Some(user))
    }
}
