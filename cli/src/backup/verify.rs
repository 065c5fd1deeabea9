//! `inopsio backup verify`: reads a whole backup and checks every hash and count.

use anyhow::Result;
use indicatif::ProgressBar;
use serde_json::json;

use super::archive::Archive;
use super::archive::rows::TenantRow;
use super::read_log::read_log;
use super::seals::Trust;
use super::{Given, side_tables, take};
use crate::output::{self, Format};
use crate::progress;

/// Verifies a backup and prints the result.
pub async fn run(given: &Given, format: Format) -> Result<()> {
    let archive = given.open()?;
    let bar = progress::bar(archive.manifest.rows(), "rows");
    let outcome = verify(&archive, &bar).await;
    bar.finish_and_clear();
    outcome?;
    let manifest = &archive.manifest;
    if format == Format::Json {
        return output::print_json(&json!({
            "verdict": "whole",
            "digest": archive.digest,
            "taken_at": manifest.taken_at,
            "tenants": manifest.directory.rows,
            "events": manifest.events(),
            "seals": manifest.seals(),
            "master_keys": manifest.master_keys(),
            "seal_keys": manifest.seal_keys(),
        }));
    }
    take::say_keys(manifest)?;
    output::print(format!(
        "complete and unaltered: {} events and {} seals of {} tenants, taken at {}, digest {}",
        manifest.events(),
        manifest.seals(),
        manifest.directory.rows,
        output::time(manifest.taken_at),
        archive.digest
    ))
}

/// Reads all parts to their end.
pub async fn verify(archive: &Archive, bar: &ProgressBar) -> Result<()> {
    archive.all::<TenantRow>(&archive.manifest.directory).await?;
    for log in &archive.manifest.services {
        read_log(archive, log, &Trust::AnySigner, None, bar).await?;
        side_tables::read(archive, log, None, bar).await?;
    }
    Ok(())
}
