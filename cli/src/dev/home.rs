//! The folder with everything that `inopsio dev` stores: `.inopsio/`.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::account::Account;

/// The folder's layout. One home has at most one running environment ([`super::lock`]).
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The home at `path`, which is created if it is missing.
    pub fn at(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("can't make the folder {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("can't enter the folder {}", path.display()))?;
        Ok(Self(path))
    }

    /// The lock file, locked while an environment runs.
    pub fn lock(&self) -> PathBuf {
        self.0.join("dev.lock")
    }

    /// The configuration file that other commands read: the servers' addresses, and the secrets.
    pub fn config(&self) -> PathBuf {
        Self::config_in(&self.0)
    }

    /// As [`config`](Self::config), for a home that may not exist.
    pub fn config_in(path: &Path) -> PathBuf {
        path.join("inopsio.toml")
    }

    /// The file of a secret.
    pub fn secret(&self, name: &str) -> PathBuf {
        self.0.join("secrets").join(name)
    }

    /// nats-server's configuration, store, log and pid file.
    pub fn nats(&self) -> PathBuf {
        self.0.join("nats")
    }

    /// Folders for server binaries from `scripts/setup`: in this home, and in the checkout's default home.
    pub fn tools(&self) -> [PathBuf; 2] {
        [self.0.join("tools"), PathBuf::from(".inopsio/tools")]
    }

    /// The folder for Postgres' data and log. It belongs to `account`, which Postgres runs as.
    ///
    /// If we are root, that account may be unable to reach a checkout under `/root`. Then the folder is under `/var/lib/inopsio`, and a
    /// symbolic link in the home points to it.
    pub fn postgres(&self, account: Option<&Account>) -> Result<PathBuf> {
        let here = self.0.join("postgres");
        let Some(account) = account else {
            private_folder(&here)?;
            return Ok(here);
        };
        let folder = match fs::read_link(&here) {
            Ok(elsewhere) => elsewhere,
            Err(_) if here.is_dir() || reachable(&self.0, account)? => here.clone(),
            Err(_) => {
                let elsewhere =
                    Path::new("/var/lib/inopsio").join(self.0.to_string_lossy().trim_matches('/').replace('/', "-"));
                fs::create_dir_all("/var/lib/inopsio")?;
                std::os::unix::fs::symlink(&elsewhere, &here)?;
                elsewhere
            }
        };
        private_folder(&folder)?;
        std::os::unix::fs::chown(&folder, Some(account.uid), Some(account.gid))
            .with_context(|| format!("can't give {} to the account {}", folder.display(), account.name))?;
        Ok(folder)
    }
}

/// Creates a folder that only its owner may enter (mode 0700).
pub fn private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("can't make the folder {}", path.display()))
}

/// Whether an account has search permission on `folder` and all its ancestors.
fn reachable(folder: &Path, account: &Account) -> Result<bool> {
    for ancestor in folder.ancestors() {
        let metadata = fs::metadata(ancestor).with_context(|| format!("can't look at {}", ancestor.display()))?;
        let needed = if metadata.uid() == account.uid {
            0o100
        } else if metadata.gid() == account.gid {
            0o010
        } else {
            0o001
        };
        if metadata.permissions().mode() & needed == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
