//! A file lock that allows one environment per home. The operating system releases it when the process dies, so nothing is left to clean up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};

use anyhow::{Context, Result, bail};

use super::home::Home;
use super::ports::Ports;

/// The lock of a home. Released on drop, and when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the home. Fails with the holder's process id and address if it is locked.
    pub fn take(home: &Home, ports: Ports) -> Result<Self> {
        let path = home.lock();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("can't open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                writeln!(file, "process {} (http://127.0.0.1:{})", std::process::id(), ports.http)?;
                Ok(Self { _file: file })
            }
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
}

/// The holder of the home's lock; none if no environment runs there.
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
