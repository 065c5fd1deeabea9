//! `inopsio restore`: restores a backup into fresh databases, or one tenant's history into a new tenant.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use kernel::Service;
use serde_json::json;

use super::archive::Archive;
use super::excluded_tenants::ExcludedTenants;
use super::seals::Trust;
use super::selection::Selection;
use super::{load, sandbox, side_tables};
use crate::context::Context;
use crate::output::{self, Format};
use crate::{progress, time};

/// The options of restoring one tenant. Those of a whole backup exclude each of them: beside an option that excludes --tenant, clap does not
/// require it, and `--into` without it would be ignored.
const OF_A_TENANT: [&str; 3] = ["tenant", "as_of", "into"];

/// Restores a backup into fresh databases, or one tenant's history as of a time into a new tenant
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio restore /backups/monday
  inopsio restore /backups/monday --rehearsal
  inopsio restore /backups/monday --without-key local-3f5a…
  inopsio restore /backups/monday --seal-key seals-of-2025.pem
  inopsio restore /backups/monday --tenant acme --as-of 2026-06-30 --into acme-june
  inopsio restore --tenant acme --as-of 2026-06-30T12:00:00Z --into acme-june

A backup can only be restored into logs that were never written to, with the claim key of its own cluster; positions and hashes stay the
same. If a restore was interrupted, run the same command again: it continues where the first one ended. Then the read models are built.
When a server runs, the relay fills the stream, webhooks continue at their positions, schedules with their next time, and jobs that waited
or ran are started. All master keys whose names the backup printed have to be configured. Name a lost one with --without-key: tenants
whose keys it wraps are left out, except for their history, which nobody can read. Seals have to be signed by the configured key, or by
one that --seal-key names, and each has to match the restored events.

With --tenant and --into, one tenant's events up to --as-of (default: all) are appended for a new tenant. They come from the backup or,
without one, from the log of the running system; other tenants are untouched. The new tenant has no webhooks, no schedules and no jobs.")]
pub struct Restore {
    /// The backup's folder; with --tenant, the running system's own log unless given
    #[arg(value_name = "BACKUP", required_unless_present = "tenant")]
    folder: Option<PathBuf>,
    /// Only the backup with this digest, as `inopsio backup` printed it
    #[arg(long, value_name = "SHA256", requires = "folder")]
    digest: Option<String>,
    /// Without webhooks, schedules and jobs: for use beside the original system, so that its webhook receivers get nothing twice
    #[arg(long, conflicts_with_all = OF_A_TENANT)]
    rehearsal: bool,
    /// Without the tenants whose keys are wrapped by this lost master key; may be given several times
    #[arg(long, value_name = "NAME", conflicts_with_all = OF_A_TENANT)]
    without_key: Vec<String>,
    /// A file with public keys that signed seals earlier, as PEM (`inopsio audit key`)
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_A_TENANT)]
    seal_key: Vec<PathBuf>,
    /// Without the seals, whatever events they belong to and whoever signed them; the log is sealed again
    #[arg(long, conflicts_with_all = OF_A_TENANT.into_iter().chain(["seal_key"]))]
    without_seals: bool,
    /// Only this tenant's history: its name or id
    #[arg(long, requires = "into")]
    tenant: Option<String>,
    /// Only events recorded up to this time, inclusive
    #[arg(long, value_name = "TIME", value_parser = time::past, requires = "tenant")]
    as_of: Option<DateTime<Utc>>,
    /// The name of the new tenant
    #[arg(long, value_name = "NAME", requires = "tenant")]
    into: Option<String>,
}

impl Restore {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let open = |folder: PathBuf| Archive::open(&folder, self.digest.as_deref());
        let archive = self.folder.map(open).transpose()?;
        if let (Some(tenant), Some(into)) = (self.tenant, self.into) {
            return sandbox::run(context, archive.as_ref(), &tenant, self.as_of, &into).await;
        }
        let archive = archive.context("give the backup's folder")?;
        let trust = if self.without_seals {
            Trust::NoSeals
        } else {
            Trust::of(Some(&context.config), &self.seal_key, &archive.manifest)?
        };
        whole(context, &archive, &trust, &self.without_key, self.rehearsal).await
    }
}

async fn whole(context: &Context, archive: &Archive, trust: &Trust, lost: &[String], rehearsed: bool) -> Result<()> {
    let began = Instant::now();
    load::fits(&context.config, archive, lost, rehearsed)?;
    let excluded = ExcludedTenants::of(archive, lost).await?;
    let bar = progress::bar(archive.manifest.rows(), "rows");
    let selected = Selection { excluded: &excluded, trust, rehearsed };
    let loaded = load::load(&context.config, archive, selected, &bar).await;
    bar.finish_and_clear();
    let restored_before: Vec<_> = loaded?.into_iter().map(Service::name).collect();
    let loading = began.elapsed();
    let built = load::build(context).await;
    let built =
        built.context("everything is restored but the read models; run the same command again, which builds them")?;
    let took = began.elapsed();
    let manifest = &archive.manifest;
    let rate = manifest.events() as f64 / loading.as_secs_f64();
    let tenants = manifest.directory.rows - excluded.listed();
    let logs = manifest.services.iter().map(|log| selected.of(log));
    let seals: u64 = logs.flat_map(|log| log.tenants).map(|tenant| tenant.seals).sum();
    let (webhooks, schedules, (jobs, failed_jobs)) = if rehearsed {
        (0, 0, (0, 0))
    } else {
        let rows_of = |table| side_tables::rows_of_all(archive, table, &excluded);
        let jobs = side_tables::jobs_of_all(archive, &excluded).await?;
        (rows_of("webhooks.endpoints").await?, rows_of("jobs.schedules").await?, jobs)
    };
    if context.format == Format::Json {
        let positions = manifest.services.iter().map(|log| (log.service.clone(), json!(log.position)));
        return output::print_json(&json!({
            "digest": archive.digest,
            "taken_at": manifest.taken_at,
            "positions": positions.collect::<serde_json::Map<_, _>>(),
            "tenants": tenants,
            "left_out": excluded.json(),
            "restored_before": restored_before,
            "events": manifest.events(),
            "seals": seals,
            "webhooks": webhooks,
            "schedules": schedules,
            "jobs": jobs,
            "failed_jobs": failed_jobs,
            "load_seconds": loading.as_secs_f64(),
            "events_per_second": rate,
            "read_models": built,
            "seconds": took.as_secs_f64(),
        }));
    }
    output::print(format!(
        "restored {} events and {seals} seals of {} tenants, every hash as it was written, in {:.1} s ({rate:.0} events/s)",
        manifest.events(),
        tenants,
        loading.as_secs_f64()
    ))?;
    if !restored_before.is_empty() {
        output::print(format!(
            "an earlier run had restored these services, which were compared with the backup: {}",
            restored_before.join(", ")
        ))?;
    }
    for one in &built {
        let parked = if one.parked_events == 0 { String::new() } else { format!(", {} parked", one.parked_events) };
        output::print(format!("built {} of {} in {:.1} s{parked}", one.projection, one.service, one.seconds))?;
    }
    output::print(format!(
        "all in {:.1} s; `inopsio serve` fills the stream, and {webhooks} webhooks, {schedules} schedules and {jobs} jobs continue with it",
        took.as_secs_f64()
    ))?;
    if failed_jobs > 0 {
        output::print(format!(
            "{failed_jobs} jobs have failed, because the files that they worked on are in no backup; `inopsio job list` with --state \
             discarded shows them: these files have to be sent again"
        ))?;
    }
    if excluded.is_empty() {
        return Ok(());
    }
    output::print(format!(
        "left out: {}; their history is there, encrypted, and nobody can read it or write to it",
        excluded.why()
    ))
}
