//! `inopsio backup`, `inopsio backup verify`, `inopsio backup drill` and `inopsio restore`.
//!
//! [`take`] writes a consistent snapshot of all services into an [`archive`]; [`verify`] checks an archive without any server; [`restore`]
//! fills fresh databases from it; [`sandbox`] copies one tenant's history up to a time to a new tenant; [`drill`] proves a backup by
//! restoring it into a private Postgres.

mod archive;
mod compare;
mod drill;
mod excluded_tenants;
mod load;
mod read_log;
mod restore;
mod restored;
mod sandbox;
mod seals;
mod selection;
mod side_tables;
mod take;
mod verify;

use std::path::PathBuf;

use anyhow::Result;
use kernel::{Clock, SystemClock};

use crate::context::{Context, Place};
use crate::output::{self, Format};

pub use restore::Restore;

/// Backs up the logs of all services, as of one moment, while the system stays in use
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  inopsio backup --output /backups/monday
  inopsio backup verify /backups/monday
  inopsio backup drill /backups/monday

The backup is a folder with manifest.json, SHA256SUMS and compressed lines of JSON. It contains events, commands with their answers,
claims, seals, webhooks, schedules, unfinished jobs, and the directory of tenants. Read models are rebuilt from it, and JetStream is
refilled. An existing folder is never overwritten. Keys and passwords are not part of it: keep INOPSIO_CLAIM_KEY, the master keys whose
names the command prints, and the public keys that verify its seals (`inopsio audit key`) elsewhere."
)]
pub struct Backup {
    #[command(subcommand)]
    command: Option<Command>,
    /// The folder to create; ./inopsio-<time> unless given
    #[arg(long, alias = "to", value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Without seals; also accepts a log whose seals do not match its events, which is refused otherwise
    #[arg(long)]
    without_seals: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Reads a whole backup and checks every hash; needs no server
    #[command(after_help = "Examples:
  inopsio backup verify /backups/monday
  inopsio backup verify /backups/monday --digest 3f5a…")]
    Verify(Given),
    /// Proves a backup: restores it into a private Postgres, compares hashes and counts, builds the read models
    #[command(after_help = "Examples:
  inopsio backup drill /backups/monday
  inopsio backup drill /backups/monday --format json
  inopsio backup drill /backups/monday --without-key local-3f5a…
  inopsio backup drill /backups/monday --seal-key seals-of-2025.pem

The private Postgres is created for the drill and removed afterwards; nothing else is touched. The exit code is 0 only for a proven backup.")]
    Drill(Drill),
}

/// What is drilled.
#[derive(Debug, clap::Args)]
pub struct Drill {
    #[command(flatten)]
    given: Given,
    /// Without the tenants whose keys are wrapped by this lost master key; may be given several times
    #[arg(long, value_name = "NAME")]
    without_key: Vec<String>,
    /// A file with public keys that signed seals earlier, as PEM (`inopsio audit key`)
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
    /// Runs the command.
    pub async fn run(self, place: &Place, format: Format) -> Result<()> {
        match self.command {
            Some(Command::Verify(given)) => verify::run(&given, format).await,
            Some(Command::Drill(drilled)) => drill::run(&drilled, place, format).await,
            None => {
                let to = self.output.unwrap_or_else(|| {
                    let now = output::time(SystemClock.now());
                    PathBuf::from(format!("inopsio-{}", now.replace(':', "")))
                });
                take::run(&Context::load(place, Vec::new(), format)?, &to, !self.without_seals).await
            }
        }
    }
}
