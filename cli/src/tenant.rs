//! `inopsio tenant`: the directory of tenants.

use anyhow::Result;
use gateway::directory::{Directory, Tenant};
use kernel::{SystemClock, SystemIds};

use crate::context::Context;
use crate::output::{self, Format};

/// Looks after tenants
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Adds a tenant
    #[command(after_help = "Example:\n  inopsio tenant create acme --name 'Acme Inc.'")]
    Create {
        /// Its short name: lower-case letters, digits and hyphens
        slug: String,
        /// Its name for people; the short name unless given
        #[arg(long)]
        name: Option<String>,
    },
    /// Lists the tenants
    #[command(after_help = "Example:\n  inopsio tenant list --format json")]
    List,
}

impl Command {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let directory = Directory::open(&context.config);
        match self {
            Self::Create { slug, name } => {
                let tenant =
                    directory.create(&slug, name.as_deref().unwrap_or(&slug), &SystemClock, &SystemIds).await?;
                match context.format {
                    Format::Json => output::print_json(&tenant),
                    Format::Text => output::print(format!("{} is {}", tenant.slug, tenant.tenant_id)),
                }
            }
            Self::List => list(context, &directory.list().await?),
        }
    }
}

fn list(context: &Context, tenants: &[Tenant]) -> Result<()> {
    if context.format == Format::Json {
        return output::print_json(&tenants);
    }
    let mut table = output::table(["tenant", "name", "id", "created at"]);
    for tenant in tenants {
        table.add_row([
            tenant.slug.clone(),
            tenant.name.clone(),
            tenant.tenant_id.to_string(),
            tenant.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        ]);
    }
    output::print(table)
}
