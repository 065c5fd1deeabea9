//! One environment a home: the lock is the kernel's, so a killed owner leaves nothing to clean up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};

use anyhow::{Context, Result, bail};

use super::home::Home;

/// Held while an environment runs; let go when dropped, or when the process dies however.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the home, or says who has it.
    pub fn take(home: &Home) -> Result<Self> {
        let path = home.lock();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("can't open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("can't lock {}", path.display())),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                bail!(
                    "one is already running here: {}\nStop it with Ctrl-C where it runs, or use another folder (--home, INOPSIO_HOME) and other ports",
                    if holder.is_empty() { "it is just starting" } else { holder.trim() }
                )
            }
        }
    }

    /// Writes down who has the lock, for whoever comes second.
    pub fn describe(&mut self, holder: &str) -> Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        writeln!(self.0, "{holder}").context("can't write the lock file")
    }
}

/// Whether an environment runs in this home now, and which.
pub fn holder(home: &Home) -> Option<String> {
    let mut file = OpenOptions::new().read(true).write(true).open(home.lock()).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).ok()?;
            Some(holder.trim().to_owned())
        }
        _ => None,
    }
}
