//! Says in the server's log what to do as long as a service's database can't be used. Whoever needs the database says that it can't, but
//! not what to do.

use std::time::Duration;

use eventstore::{Database, Role, admin};
use tokio_util::sync::CancellationToken;

/// How often it is said.
const PAUSE: Duration = Duration::from_secs(30);

/// Runs until the database can be used, also as the role for what concerns the keys of all tenants, or `shutdown`.
pub(super) async fn watch(database: Database, shutdown: CancellationToken) {
    let service = database.service;
    let watching = async {
        loop {
            if let Err(error) = admin::probe(&database, Role::Read).await {
                if admin::is_unprepared(&error) {
                    tracing::error!(%service, %error, "the database is not prepared for this server. {}", admin::ADVICE);
                } else {
                    tracing::warn!(%service, %error, "the database can't be used yet; the server goes on by itself when it can");
                }
            } else if let Err(error) = admin::probe(&database, Role::Backup).await {
                // All else works without this role, so nobody would notice until a tenant needs a key.
                tracing::error!(
                    %service, %error,
                    "the role {} can't be used: until it can, no tenant gets a key, and no wrong master key is noticed. It has to be \
                     allowed to log in, also from here (pg_hba.conf), with the password of the other roles",
                    Role::Backup.name(service)
                );
            } else {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    shutdown.run_until_cancelled(watching).await;
}
