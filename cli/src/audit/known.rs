//! Reads the seals from files of earlier exports, which auditors kept.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use eventstore::seals::Seal;
use uuid::Uuid;

use super::document::Line;

/// All seals in these files. The other lines are not verified: they were when the files were received.
pub fn seals(files: &[PathBuf]) -> Result<Vec<Seal>> {
    let mut seals = Vec::new();
    for file in files {
        let shown = file.display();
        let before = seals.len();
        for line in BufReader::new(File::open(file).with_context(|| format!("can't read {shown}"))?).lines() {
            let line = line.with_context(|| format!("can't read {shown}"))?;
            let line = serde_json::from_str(&line)
                .with_context(|| format!("{shown} is not a file of `inopsio audit export`"))?;
            if let Line::Seal(seal) = line {
                seals.push(seal);
            }
        }
        ensure!(seals.len() > before, "{shown} has no seal");
    }
    Ok(seals)
}

/// Whether a seal belongs to this tenant's history in this service.
pub fn belongs_to(seal: &Seal, tenant: Uuid, service: &str) -> bool {
    (seal.tenant, seal.service.as_str()) == (tenant, service)
}
