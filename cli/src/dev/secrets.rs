//! The secrets of a development environment: created at the first start, one per file, readable only by the owner.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rand::TryRngCore;

use super::home::{Home, private_folder};

/// Reads the secret at `path`. If it does not exist, creates it with `make`.
pub fn read_or_make(path: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(secret) => {
            // Copying or restoring a file often loses its mode.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            Ok(secret.trim().to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = make()?;
            write(path, &secret)?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("can't read the secret {}", path.display())),
    }
}

/// The secret with this name: 256 random bits in hexadecimal, created at the first call.
pub fn random_once(home: &Home, name: &str) -> Result<String> {
    read_or_make(&home.secret(name), random)
}

fn random() -> Result<String> {
    let mut bytes = [0_u8; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).context("the system gives no randomness")?;
    Ok(hex::encode(bytes))
}

/// Writes a file that only its owner may read, atomically.
pub fn write(path: &Path, content: &str) -> Result<()> {
    let folder = path.parent().context("a secret's file needs a folder")?;
    private_folder(folder)?;
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .with_context(|| format!("can't write {}", draft.display()))?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path).with_context(|| format!("can't write {}", path.display()))
}
