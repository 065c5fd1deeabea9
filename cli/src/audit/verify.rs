//! `inopsio audit verify`: verifies every event and every seal of a tenant's history in the log.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use eventstore::seals::{self, Seen};
use kernel::{Service, TenantId};
use serde::Serialize;

use super::known::{self, Known};
use super::trusted;
use crate::context::{self, Context};
use crate::output::{self, Format};
use crate::progress;

/// Verifies every event of a tenant against its hash, its stream and every seal
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio audit verify --tenant demo
  inopsio audit verify --tenant demo --service auth --key seals-of-2025.pem
  inopsio audit verify --tenant demo --known crm-of-last-quarter.ndjson

If an event was altered, is missing or is out of place, or if a seal is not signed by a trusted key, the first one is named and the exit
code is not 0. Trusted keys are the configured one and those in the given files.")]
pub struct Verify {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// Only this service, such as crm; all unless given
    #[arg(long)]
    service: Option<String>,
    /// A file with public keys that signed earlier, as PEM
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// An earlier file of `inopsio audit export`: its seals also have to match the history
    #[arg(long, value_name = "FILE")]
    known: Vec<PathBuf>,
}

/// The result for one service's log.
#[derive(Debug, Serialize)]
struct Verified {
    service: &'static str,
    events: u64,
    root: String,
    seals: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed_at: Option<chrono::DateTime<chrono::Utc>>,
    /// Number of events after the last seal.
    unsealed: u64,
}

impl Verify {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let tenant = context.tenant_or_deleted(&self.tenant).await?;
        let trusted = trusted::here(&context.config, &self.key)?;
        let (known, services) = (known::read(&self.known)?, context::services(self.service.as_deref())?);
        self.check_known(&known, tenant, &services)?;
        let mut all = Vec::new();
        for service in services {
            let store = context.store(service).await?;
            let bar = progress::bar(store.count(tenant, &eventstore::ReplayFilter::default()).await?, "events");
            let kept: Vec<_> =
                known.iter().flat_map(|known| known.of(tenant.uuid(), service.name())).cloned().collect();
            let see = |seen: Seen<'_>| bar.inc(u64::from(matches!(seen, Seen::Event(..))));
            let verdict = seals::verify(&store, tenant, trusted.clone(), &kept, see).await;
            bar.finish_and_clear();
            store.close().await;
            let verdict = verdict.with_context(|| format!("the history of {} in {service}", self.tenant))?;
            all.push(Verified {
                service: service.name(),
                events: verdict.events,
                root: hex::encode(verdict.root),
                seals: verdict.seals,
                sealed_at: verdict.last.as_ref().map(|seal| seal.sealed_at),
                unsealed: verdict.unsealed(),
            });
        }
        if context.format == Format::Json {
            return output::print_json(&all);
        }
        let mut table = output::table(["service", "events", "root", "seals", "last sealed", "not sealed yet"]);
        for one in all {
            let sealed_at = one.sealed_at.map_or_else(|| "never".to_owned(), output::time);
            table.add_row([
                one.service.to_owned(),
                one.events.to_string(),
                one.root,
                one.seals.to_string(),
                sealed_at,
                one.unsealed.to_string(),
            ]);
        }
        output::print(table)
    }

    /// Refuses an earlier file that none of these histories can be compared with: the verdict would read as if it had been.
    fn check_known(&self, known: &[Known], tenant: TenantId, services: &[Service]) -> Result<()> {
        for earlier in known {
            ensure!(
                services.iter().any(|service| earlier.of(tenant.uuid(), service.name()).next().is_some()),
                "--known {}: it has no seal of the history of {} in {}, so nothing would be compared with it",
                earlier.file.display(),
                self.tenant,
                services.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ")
            );
        }
        Ok(())
    }
}
