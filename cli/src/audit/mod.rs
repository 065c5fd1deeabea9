//! `inopsio audit`: verifies a tenant's history in the log, or exports it to a file that is verified with a public key.

mod check;
mod document;
mod export;
mod known;
pub mod trusted;
mod verify;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::context::{Context, Place};
use crate::output::{self, Format};

/// Proves a tenant's history: in the log, or as a file that auditors check by themselves
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Verify(verify::Verify),
    Export(export::Export),
    Check(check::Check),
    /// Prints the public key that verifies seals, as PEM
    #[command(after_help = "Example:\n  inopsio audit key > inopsio-seals.pem\n\n\
        Give it to auditors once, on another channel than the files that it verifies. With --format json its id is \
        printed, too, which seals and messages name.")]
    Key,
}

impl Command {
    /// Runs the command.
    pub async fn run(self, place: &Place, format: Format) -> Result<()> {
        // `check` works without a configuration: an auditor who checks a file has none.
        if let Self::Check(check) = self {
            return check.run(format);
        }
        let context = Context::load(place, Vec::new(), format)?;
        match self {
            Self::Verify(verify) => verify.run(&context).await,
            Self::Export(export) => export.run(&context).await,
            Self::Check(check) => check.run(format),
            Self::Key => {
                let key = context.config.seal_key().context("audit.seal_key (INOPSIO_SEAL_KEY) is not set")?;
                let key = key.sealed_by();
                match format {
                    Format::Json => output::print_json(&json!({ "id": key.id(), "pem": key.to_pem() })),
                    Format::Text => output::print(key.to_pem().trim_end()),
                }
            }
        }
    }
}
