//! `inopsio token`: tokens for callers of the API.

use std::time::Duration;

use anyhow::Result;
use kernel::Role;
use serde_json::json;

use crate::context::Context;
use crate::output::{self, Format};
use crate::time;

/// Mints a token (an Ed25519 JWT) for a caller of the API
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio token --tenant demo --role admin --ttl 8h
  TOKEN=$(inopsio token --tenant demo --role member --role viewer --subject ada)")]
pub struct Token {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// What the caller is: admin, manager, member, viewer or auditor; may be given several times. Without it a subject that is
    /// the id of a user may do what that user may
    #[arg(long = "role", required_unless_present = "subject")]
    roles: Vec<Role>,
    /// For how long: 90s, 15m, 8h, 30d
    #[arg(long, default_value = "8h", value_parser = time::parse_duration)]
    ttl: Duration,
    /// Who the caller is
    #[arg(long, default_value = "cli")]
    subject: String,
}

impl Token {
    /// Prints a token.
    pub async fn run(self, context: &Context) -> Result<()> {
        let tenant = context.tenant(&self.tenant).await?;
        let token = gateway::auth::mint(&context.config.auth, tenant, &self.subject, &self.roles, self.ttl)?;
        match context.format {
            Format::Json => {
                output::print_json(&json!({ "token": token, "tenant_id": tenant, "expires_in": self.ttl.as_secs() }))
            }
            Format::Text => output::print(token),
        }
    }
}
