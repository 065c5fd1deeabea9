//! Reads the seals from files of earlier exports, which auditors kept.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use eventstore::seals::Seal;
use uuid::Uuid;

use super::document::Line;

/// A file of an earlier export, and its seals.
pub struct Known {
    pub file: PathBuf,
    pub seals: Vec<Seal>,
}

/// Reads these files. Their other lines are not verified: they were when the files were received.
pub fn read(files: &[PathBuf]) -> Result<Vec<Known>> {
    files.iter().map(|file| Ok(Known { file: file.clone(), seals: seals(file)? })).collect()
}

fn seals(file: &Path) -> Result<Vec<Seal>> {
    let shown = file.display();
    let mut seals = Vec::new();
    for line in BufReader::new(File::open(file).with_context(|| format!("can't read {shown}"))?).lines() {
        let line = line.with_context(|| format!("can't read {shown}"))?;
        let line =
            serde_json::from_str(&line).with_context(|| format!("{shown} is not a file of `inopsio audit export`"))?;
        if let Line::Seal(seal) = line {
            seals.push(seal);
        }
    }
    ensure!(!seals.is_empty(), "{shown} has no seal");
    Ok(seals)
}

impl Known {
    /// The seals that belong to this tenant's history in this service.
    pub fn of(&self, tenant: Uuid, service: &str) -> impl Iterator<Item = &Seal> {
        self.seals.iter().filter(move |seal| (seal.tenant, seal.service.as_str()) == (tenant, service))
    }
}
