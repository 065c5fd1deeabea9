//! Says in the server's log what to do as long as a service's database can't be used. Whoever needs the database says that it can't, but
//! not what to do.

use std::time::Duration;

use eventstore::{Database, admin};
use tokio_util::sync::CancellationToken;

/// How often it is said.
const PAUSE: Duration = Duration::from_secs(30);

/// Runs until the database can be used, or `shutdown`.
pub(super) async fn watch(database: Database, shutdown: CancellationToken) {
    let service = database.service;
    let watching = async {
        while let Err(error) = admin::probe(&database).await {
            if admin::is_unprepared(&error) {
                tracing::error!(%service, %error, "the database is not prepared for this server. {}", admin::ADVICE);
            } else {
                tracing::warn!(%service, %error, "the database can't be used yet; the server goes on by itself when it can");
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    shutdown.run_until_cancelled(watching).await;
}
