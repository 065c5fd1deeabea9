//! `inopsio key`: the keys that sign a tenant's tokens.

use anyhow::Result;
use gateway::tenant_keys::{KeyUse, OurAlgorithm, TenantKeys};
use serde_json::json;

use crate::context::Context;
use crate::output::{self, Format};

/// Looks after the keys that sign a tenant's tokens
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists them: which signs, which will, which only verify what they signed
    #[command(after_help = "Example:\n  inopsio key list --tenant demo")]
    List {
        /// The tenant: its name or id
        #[arg(long)]
        tenant: String,
    },
    /// Has tokens signed with a new key; the one before it verifies on
    #[command(after_help = "Examples:
  inopsio key rotate --tenant demo
  inopsio key rotate --tenant demo --algorithm ES256

The new key is shown at once, and signs after INOPSIO_KEY_OVERLAP_SECONDS, so that nobody meets a token of a key that they do not know.")]
    Rotate {
        /// The tenant: its name or id
        #[arg(long)]
        tenant: String,
        /// EdDSA, ES256 or RS256
        #[arg(long, default_value = "EdDSA", value_parser = algorithm)]
        algorithm: OurAlgorithm,
    },
    /// Retires a key: whatever it signed is refused within a second
    #[command(after_help = "Example:\n  inopsio key retire --tenant demo <kid>")]
    Retire {
        /// The tenant: its name or id
        #[arg(long)]
        tenant: String,
        /// The key's id, as `inopsio key list` shows it
        kid: String,
    },
}

fn algorithm(text: &str) -> Result<OurAlgorithm, String> {
    match text {
        "EdDSA" => Ok(OurAlgorithm::EdDSA),
        "ES256" => Ok(OurAlgorithm::ES256),
        "RS256" => Ok(OurAlgorithm::RS256),
        _ => Err("allowed are EdDSA, ES256 and RS256".to_owned()),
    }
}

impl Command {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let tenant = match &self {
            Self::List { tenant } | Self::Rotate { tenant, .. } | Self::Retire { tenant, .. } => tenant,
        };
        let keys = TenantKeys::open(&context.config, context.tenant(tenant).await?).await?;
        let done = self.with(&keys, context.format).await;
        keys.close().await;
        done
    }

    async fn with(self, keys: &TenantKeys, format: Format) -> Result<()> {
        match self {
            Self::List { .. } => list(keys, format).await,
            Self::Rotate { algorithm, .. } => {
                let kid = keys.rotate(algorithm).await?;
                match format {
                    Format::Json => output::print_json(&json!({ "kid": kid })),
                    Format::Text => output::print(kid),
                }
            }
            Self::Retire { kid, .. } => {
                keys.retire(&kid).await?;
                match format {
                    Format::Json => output::print_json(&json!({ "kid": kid, "retired": true })),
                    Format::Text => output::print(format!("{kid} is retired")),
                }
            }
        }
    }
}

async fn list(keys: &TenantKeys, format: Format) -> Result<()> {
    let found = keys.list().await?;
    let status = |status| match status {
        Some(KeyUse::Waits) => "waits",
        Some(KeyUse::Signs) => "signs",
        Some(KeyUse::Verifies) | None => "verifies",
    };
    match format {
        Format::Json => {
            let shown = found.iter().map(|key| {
                json!({ "kid": key.kid, "algorithm": key.algorithm, "signs_from": key.signs_from, "status": status(key.status) })
            });
            output::print_json(&json!({ "keys": shown.collect::<Vec<_>>() }))
        }
        Format::Text => {
            for key in found {
                output::print(format!("{}  {}  {:8}  {}", key.kid, key.algorithm, status(key.status), key.signs_from))?;
            }
            Ok(())
        }
    }
}
