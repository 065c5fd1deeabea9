//! A temporary Postgres for one drill, with its own folder and port.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gateway::Config;
use kernel::{IdSource, SystemIds};

use crate::dev::home::Home;
use crate::dev::ports::Ports;
use crate::dev::process::Server;
use crate::dev::{config, postgres};

/// How long the server may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(30);

/// A running private Postgres with empty data. Call [`stop`](Self::stop) in the end. Its folder is also removed on drop.
pub struct Private {
    /// The configuration that connects to it.
    pub config: Config,
    server: Option<Server>,
    folder: PathBuf,
}

impl Private {
    /// Creates the folder and starts the server.
    pub async fn start() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("inopsio-drill-{}", SystemIds.next().simple()));
        std::fs::create_dir(&folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
        // Root runs Postgres as another account, which must be able to enter this folder.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711))?;
        let home = Home::at(&folder)?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let ports = Ports { http: 0, postgres: free, nats: 0 };
        let mut private = Self { config: config::write_and_read(&home, ports)?, server: None, folder };
        private.server = Some(postgres::start(&home, free, postgres::Data::Discarded).await?);
        Ok(private)
    }

    /// Stops the server and removes its folder.
    pub async fn stop(mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => server.stop(STOP).await,
            None => Ok(()),
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(self.server.take());
        let postgres = self.folder.join("postgres");
        if let Ok(elsewhere) = std::fs::read_link(&postgres) {
            let _ = std::fs::remove_dir_all(elsewhere); // temporary data; ignore errors
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
