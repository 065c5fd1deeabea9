//! A directory in a database of its own.

use config::{Config, SecretText};
use directory::{Directory, Placements};
use eventstore::admin::Mode;
use sqlx::ConnectOptions;
use testbed::Database;

/// A directory and its placements.
pub struct TestDirectory {
    pub directory: Directory,
    pub placements: Placements,
    /// The configuration of a process that uses it.
    pub config: Config,
    /// Dropping it deletes the database.
    pub database: Database,
}

impl TestDirectory {
    /// Creates an empty directory.
    pub async fn new() -> Self {
        let database = Database::named("directory");
        let mut config = Config::default();
        config.postgres.host.clone_from(&database.host);
        config.postgres.port = database.port;
        config.postgres.socket.clone_from(&database.socket);
        config.postgres.password = SecretText::new(database.password.reveal());
        config.postgres.admin_url = SecretText::new(database.admin().to_url_lossy().to_string());
        config.postgres.directory.clone_from(&database.name);
        directory::migrate(&config, Mode::Apply).await.unwrap();
        let directory = Directory::open(&config);
        Self { placements: Placements::of(&directory), directory, config, database }
    }
}
