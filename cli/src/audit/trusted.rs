//! Reads the public keys whose seals are trusted.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use eventstore::seals::SealedBy;
use gateway::Config;

/// The public keys in these PEM files.
pub fn of_files(files: &[PathBuf]) -> Result<Vec<SealedBy>> {
    let mut keys = Vec::new();
    for file in files {
        keys.extend(read(file)?);
    }
    Ok(keys)
}

/// The public keys in these PEM files and the configured signing key. Fails if there is none.
pub fn here(config: &Config, files: &[PathBuf]) -> Result<Vec<SealedBy>> {
    let mut keys = of_files(files)?;
    keys.extend(config.seal_key().map(|key| key.sealed_by()));
    anyhow::ensure!(
        !keys.is_empty(),
        "no key is trusted: set audit.seal_key (INOPSIO_SEAL_KEY), or name a file with --key"
    );
    Ok(keys)
}

fn read(file: &Path) -> Result<Vec<SealedBy>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    SealedBy::parse(&text).with_context(|| {
        format!("{} has no Ed25519 public keys as PEM, as `inopsio audit key` prints them", file.display())
    })
}
