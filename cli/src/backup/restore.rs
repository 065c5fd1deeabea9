//! `inopsio restore`: restores a backup into fresh databases, or one tenant's history into a new tenant.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use kernel::Service;

use super::archive::Archive;
use super::excluded_tenants::ExcludedTenants;
use super::restored::{Beside, Restored};
use super::seals::Trust;
use super::selection::Selection;
use super::{load, sandbox};
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

/// Restores a whole backup, builds the read models, and prints what was done.
async fn whole(context: &Context, archive: &Archive, trust: &Trust, lost: &[String], rehearsed: bool) -> Result<()> {
    let began = Instant::now();
    load::fits(&context.config, archive, lost, rehearsed)?;
    let excluded = ExcludedTenants::of(archive, lost).await?;
    let bar = progress::bar(archive.manifest.rows(), "rows");
    let selected = Selection { excluded: &excluded, trust, rehearsed };
    let loaded = load::load(&context.config, archive, selected, &bar).await;
    bar.finish_and_clear();
    let before = loaded?.into_iter().map(Service::name).collect();
    let loading = began.elapsed();
    let built = load::build(context).await;
    let read_models =
        built.context("everything is restored but the read models; run the same command again, which builds them")?;
    let took = began.elapsed();
    let beside = Beside::of(archive, selected).await?;
    let restored = Restored { archive, selected, before, beside, read_models, loading, took };
    match context.format {
        Format::Json => output::print_json(&restored.json()),
        Format::Text => output::print(restored),
    }
}
