//! `inopsio tenant`: makes tenants, suspends and resumes them, lists them.

use anyhow::Result;
use gateway::directory::{Directory, Listed, Tenant};

use crate::context::Context;
use crate::output::{self, Format};

/// Looks after tenants
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Makes a tenant: reserves its name, checks databases and streams, invites its first owner
    #[command(after_help = "Example:\n  inopsio tenant create acme --name 'Acme Inc.' --owner ada@acme.example")]
    Create {
        /// Its short name: lower-case letters, digits and hyphens
        slug: String,
        /// Its name for people; the short name unless given
        #[arg(long)]
        name: Option<String>,
        /// Who is invited by mail as its first owner
        #[arg(long, value_name = "EMAIL")]
        owner: Option<String>,
    },
    /// Suspends a tenant: within a second, nobody of it may do anything
    #[command(after_help = "Example:\n  inopsio tenant suspend acme --reason 'not paid'")]
    Suspend {
        /// Its short name or id
        tenant: String,
        /// Why, for those who look into it
        #[arg(long)]
        reason: String,
    },
    /// Resumes a suspended tenant
    #[command(after_help = "Example:\n  inopsio tenant resume acme")]
    Resume {
        /// Its short name or id
        tenant: String,
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
            Self::Create { slug, name, owner } => {
                let name = name.as_deref().unwrap_or(&slug);
                let tenant = gateway::provision(&context.config, &slug, name, owner).await?;
                match context.format {
                    Format::Json => output::print_json(&tenant),
                    Format::Text => output::print(format!("{} is {}", tenant.slug, tenant.tenant_id)),
                }
            }
            Self::Suspend { tenant, reason } => {
                let tenant = directory.find(&tenant).await?;
                gateway::suspend(&context.config, &tenant, &reason).await?;
                told(context, &tenant, "is suspended")
            }
            Self::Resume { tenant } => {
                let tenant = directory.find(&tenant).await?;
                gateway::resume(&context.config, &tenant).await?;
                told(context, &tenant, "can be used again")
            }
            Self::List => list(context, &directory.standing().await?),
        }
    }
}

fn told(context: &Context, tenant: &Tenant, what: &str) -> Result<()> {
    match context.format {
        Format::Json => output::print_json(&tenant),
        Format::Text => output::print(format!("{} {what}", tenant.slug)),
    }
}

fn list(context: &Context, tenants: &[Listed]) -> Result<()> {
    if context.format == Format::Json {
        return output::print_json(&tenants);
    }
    let mut table = output::table(["tenant", "name", "status", "id", "created at"]);
    for Listed { tenant, status } in tenants {
        table.add_row([
            tenant.slug.clone(),
            tenant.name.clone(),
            status.clone(),
            tenant.tenant_id.to_string(),
            tenant.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        ]);
    }
    output::print(table)
}
