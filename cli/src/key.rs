//! `inopsio key`: a tenant's signing keys for tokens, and rewrapping of encryption keys with a new master key.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use gateway::Outcome;
use gateway::tenant_keys::{KeyUse, OurAlgorithm, TenantKeys};
use serde_json::json;

use crate::context::Context;
use crate::output::{self, Format};
use crate::progress;

/// Manages the keys that sign a tenant's tokens, and rewraps tenants' encryption keys
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists a tenant's signing keys: the current one, the next one, and those that only verify older tokens
    #[command(after_help = "Example:\n  inopsio key list --tenant demo")]
    List {
        /// The tenant: its name or id
        #[arg(long)]
        tenant: String,
    },
    /// Rotates the signing key: new tokens are signed with a new key; the previous key still verifies
    #[command(after_help = "Examples:
  inopsio key rotate --tenant demo
  inopsio key rotate --tenant demo --algorithm ES256

The new key is published at once and signs after INOPSIO_KEY_OVERLAP_SECONDS, so that nobody receives a token signed by a key they do not know.")]
    Rotate {
        /// The tenant: its name or id
        #[arg(long)]
        tenant: String,
        /// Signature algorithm of the new key: EdDSA, ES256 or RS256
        #[arg(long, default_value = "EdDSA", value_parser = algorithm)]
        algorithm: OurAlgorithm,
    },
    /// Retires a signing key: tokens that it signed are refused within a second
    #[command(after_help = "Example:\n  inopsio key retire --tenant demo tMFzI_sBaQW0_OV4kjmUktvF4s9vhCS6dFP6S0EOhvA")]
    Retire {
        /// The tenant: its name or id
        #[arg(long)]
        tenant: String,
        /// The key's id, as `inopsio key list` shows it
        kid: String,
    },
    /// Rewraps all tenants' encryption keys with the current master key, after it was replaced or got a new version in Vault
    #[command(after_help = "Examples:
  inopsio key rewrap --dry-run
  INOPSIO_MASTER_KEY=transit:transit/inopsio INOPSIO_FORMER_MASTER_KEY_FILE=/run/secrets/master_key inopsio key rewrap

The system stays in use, provided that all processes were started with both keys before. The command may be interrupted at any moment;
run again, it continues with what is left. When it reports that nothing is left, remove INOPSIO_FORMER_MASTER_KEY. Destroy that key only
when no backup that was taken before is needed any more. Copies of tenants that live in another cell it leaves out: purge them (inopsio
tenant move acme --purge).")]
    Rewrap {
        /// Only reports what would be done
        #[arg(long)]
        dry_run: bool,
        /// Number of keys that are wrapped with one request to the holder of the master key
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
    /// Runs the command.
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
                    Format::Text => output::print(format!("{kid} was retired")),
                }
            }
            // Concerns all tenants, so `run` handles it.
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
                let copies: Vec<_> = done.copies.iter().map(ToString::to_string).collect();
                json!({
                    "keys_of": what,
                    "keys": done.keys,
                    "rewrapped": done.renewed,
                    "left": left.collect::<Vec<_>>(),
                    "copies": copies,
                })
            });
            let shown: Vec<_> = shown.collect();
            output::print_json(&json!({ "master_key": name, "dry_run": dry_run, "outcomes": shown }))?;
        }
        Format::Text => {
            let did = if dry_run { "would be rewrapped" } else { "rewrapped" };
            for Outcome { what, done } in &outcomes {
                output::print(format!("{what}: {} keys, {} {did} by {name}", done.keys, done.renewed))?;
                for (tenant, why) in &done.left {
                    output::print(format!("  {tenant} was left as it was: {why}"))?;
                }
                for tenant in &done.copies {
                    output::print(format!(
                        "  {tenant} lives in another cell, and its copy here was left as it was: inopsio tenant move {tenant} --purge"
                    ))?;
                }
            }
        }
    }
    left_over(&outcomes)
}

/// Whether the former master key may be removed.
///
/// # Errors
/// If keys of tenants were left, each tenant counted once.
fn left_over(outcomes: &[Outcome]) -> Result<()> {
    let left: BTreeSet<_> = outcomes.iter().flat_map(|outcome| &outcome.done.left).map(|(tenant, _)| tenant).collect();
    let copies: BTreeSet<_> = outcomes.iter().flat_map(|outcome| &outcome.done.copies).collect();
    let of = |tenants: usize| if tenants == 1 { "1 tenant".to_owned() } else { format!("{tenants} tenants") };
    match (left.len(), copies.len()) {
        (0, 0) => Ok(()),
        (0, _) => bail!(
            "there are copies of {} of another cell: purge them, and keep the former master key until none is found",
            of(copies.len())
        ),
        (left, _) => bail!("the keys of {} were left as they were: the former master key is still needed", of(left)),
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
            let mut table = output::table(["key", "algorithm", "status", "signs from"]);
            for key in found {
                let (use_of, signs_from) = (status(key.status).to_owned(), output::time(key.signs_from));
                table.add_row([key.kid, key.algorithm.to_owned(), use_of, signs_from]);
            }
            output::print(table)
        }
    }
}

#[cfg(test)]
mod tests {
    use eventstore::Rewrapped;
    use kernel::TenantId;

    use super::*;

    #[test]
    fn whoever_left_keys_is_told_of_how_many_tenants_and_that_copies_are_to_be_purged() {
        #[expect(clippy::disallowed_methods, reason = "no request is made")]
        let tenant = |number| TenantId::vouched(uuid::Uuid::from_u128(number));
        let of = |what: &str, left: &[u128], copies: &[u128]| Outcome {
            what: what.to_owned(),
            done: Rewrapped {
                left: left.iter().map(|number| (tenant(*number), "it is being moved".to_owned())).collect(),
                copies: copies.iter().map(|number| tenant(*number)).collect(),
                ..Rewrapped::default()
            },
        };
        left_over(&[of("crm", &[], &[]), of("signing", &[], &[])]).unwrap();
        let said = |outcomes: [Outcome; 2]| left_over(&outcomes).unwrap_err().to_string();
        let left = said([of("crm", &[1, 2], &[3]), of("user", &[1], &[3])]);
        assert!(left.contains("2 tenants") && left.contains("still needed"), "{left}");
        let copies = said([of("crm", &[], &[3]), of("user", &[], &[3])]);
        assert!(copies.contains("1 tenant of") && copies.contains("purge"), "{copies}");
    }
}
