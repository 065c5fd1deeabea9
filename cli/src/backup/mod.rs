//! `inopsio backup`, `inopsio backup verify`, `inopsio backup drill`, `inopsio restore`: everything taken out, proven, and
//! brought in again.
//!
//! [`take`] writes a backup of one moment over all services into an [`archive`]; [`verify`] reads one without any server;
//! [`restore`] fills fresh databases from it; [`sandbox`] plays one tenant's history up to a time into a new tenant; [`drill`]
//! proves a backup by all of that in a private Postgres.

mod archive;
mod beside;
mod drill;
mod left_out;
mod load;
mod pour;
mod restore;
mod sandbox;
mod seals;
mod take;
mod verify;

use std::path::PathBuf;

use anyhow::Result;
use chrono::SecondsFormat;
use kernel::{Clock, SystemClock};

use crate::context::{Context, Place};
use crate::output::Format;

pub use restore::Restore;

/// Saves the logs of all services, as they are at one moment, while writing goes on
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  inopsio backup --output /backups/monday
  inopsio backup verify /backups/monday
  inopsio backup drill /backups/monday

The backup is a folder: manifest.json, SHA256SUMS and compressed lines of JSON. It holds events, commands with their answers,
claims, seals, webhooks, schedules, jobs that are open, and the directory of tenants; read models are built anew from it, JetStream is
filled again. It never overwrites. Keys and passwords are not in it: keep INOPSIO_CLAIM_KEY and the master keys elsewhere whose names it prints, and
the public keys (`inopsio audit key`) that its seals are verified by."
)]
pub struct Backup {
    #[command(subcommand)]
    command: Option<Command>,
    /// The folder to make; inopsio-<time> here unless given
    #[arg(long, alias = "to", value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Without seals: also of a log whose seals are not of its events, which is refused otherwise
    #[arg(long)]
    without_seals: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Reads a backup to its end and checks every hash; needs no server
    #[command(after_help = "Examples:
  inopsio backup verify /backups/monday
  inopsio backup verify /backups/monday --digest 3f5a…  # the one that `inopsio backup` printed")]
    Verify(Given),
    /// Proves a backup: restores it into a private Postgres, compares hashes and counts, builds the read models
    #[command(after_help = "Examples:
  inopsio backup drill /backups/monday
  inopsio backup drill /backups/monday --format json
  inopsio backup drill /backups/monday --without-key local-3f5a…  # which is lost; its tenants are not proven, all others may be
  inopsio backup drill /backups/monday --seal-key seals-of-2025.pem

The private Postgres is made for it and removed after it; nothing else is touched. The exit code is 0 only for a proven backup.")]
    Drill(Drill),
}

/// What is drilled.
#[derive(Debug, clap::Args)]
pub struct Drill {
    #[command(flatten)]
    given: Given,
    /// Without the tenants whose keys this master key wraps, which is lost; may be given several times
    #[arg(long, value_name = "NAME")]
    without_key: Vec<String>,
    /// A file with public keys that signed seals before, as PEM (`inopsio audit key`)
    #[arg(long, value_name = "FILE")]
    seal_key: Vec<PathBuf>,
}

/// A backup that is there.
#[derive(Debug, clap::Args)]
pub struct Given {
    /// The backup's folder
    #[arg(value_name = "BACKUP")]
    folder: PathBuf,
    /// Only the backup with this digest, as `inopsio backup` printed it
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
}

impl Given {
    fn open(&self) -> Result<archive::Archive> {
        archive::Archive::open(&self.folder, self.digest.as_deref())
    }
}

impl Backup {
    /// Takes one, or proves one.
    pub async fn run(self, place: &Place, format: Format) -> Result<()> {
        match self.command {
            Some(Command::Verify(given)) => verify::run(&given, format).await,
            Some(Command::Drill(drilled)) => drill::run(&drilled, place, format).await,
            None => {
                let to = self.output.unwrap_or_else(|| {
                    let now = SystemClock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
                    PathBuf::from(format!("inopsio-{}", now.replace(':', "")))
                });
                take::run(&Context::load(place, Vec::new(), format)?, &to, !self.without_seals).await
            }
        }
    }
}
