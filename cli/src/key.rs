//! `inopsio key`: the keys that sign a tenant's tokens, and what the master key wraps.

use anyhow::{Result, bail};
use gateway::Outcome;
use gateway::tenant_keys::{KeyUse, OurAlgorithm, TenantKeys};
use serde_json::json;

use crate::context::Context;
use crate::output::{self, Format};
use crate::progress;

/// Looks after the keys that sign a tenant's tokens, and has tenants' keys wrapped anew
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
    /// Wraps all tenants' keys as the master key wraps today: after it followed another one, or got a new version in Vault
    #[command(after_help = "Examples:
  inopsio key rewrap --dry-run
  INOPSIO_MASTER_KEY=transit:transit/inopsio INOPSIO_FORMER_MASTER_KEY_FILE=/run/secrets/master_key inopsio key rewrap

While everything goes on, if all processes were started with both keys before. Broken off at any moment it can be begun again, and finds
what is left. When it says that nothing is left, take INOPSIO_FORMER_MASTER_KEY away; destroy that key when no backup is needed any more that
was taken before.")]
    Rewrap {
        /// Only says what would be done
        #[arg(long)]
        dry_run: bool,
        /// How many keys are wrapped with one question to where the master key is
        #[arg(long, value_name = "KEYS", default_value_t = 100, value_parser = crate::number::of(1..=1_000_u32))]
        at_once: u32,
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
            Self::Rewrap { dry_run, at_once } => return rewrap(context, *at_once, *dry_run).await,
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
            // Of all tenants: not here.
            Self::Rewrap { .. } => Ok(()),
        }
    }
}

async fn rewrap(context: &Context, at_once: u32, dry_run: bool) -> Result<()> {
    let bar = progress::bar(0, "keys");
    let tell = |_: &str, so_far: &eventstore::Rewrapped| {
        bar.set_length(so_far.all);
        bar.set_position(so_far.keys);
    };
    let outcomes = gateway::rewrap(&context.config, at_once as usize, dry_run, &tell).await;
    bar.finish_and_clear();
    let outcomes = outcomes?;
    let name = gateway::master_key_name(&context.config).unwrap_or_default();
    match context.format {
        Format::Json => {
            let shown = outcomes.iter().map(|Outcome { what, done }| {
                let left = done.left.iter().map(|(tenant, why)| json!({ "tenant": tenant.to_string(), "reason": why }));
                json!({ "keys_of": what, "keys": done.keys, "rewrapped": done.renewed, "left": left.collect::<Vec<_>>() })
            });
            let shown: Vec<_> = shown.collect();
            output::print_json(&json!({ "master_key": name, "dry_run": dry_run, "outcomes": shown }))?;
        }
        Format::Text => {
            let did = if dry_run { "would be wrapped anew" } else { "wrapped anew" };
            for Outcome { what, done } in &outcomes {
                output::print(format!("{what}: {} keys, {} {did} by {name}", done.keys, done.renewed))?;
                for (tenant, why) in &done.left {
                    output::print(format!("  {tenant} is left as it was: {why}"))?;
                }
            }
        }
    }
    let left: usize = outcomes.iter().map(|outcome| outcome.done.left.len()).sum();
    if left > 0 {
        bail!("the keys of {left} were left as they were: the former master key is needed still");
    }
    Ok(())
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
