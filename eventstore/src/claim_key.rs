//! The key that hashes the claims of a log, by its mark. The log keeps the mark, and whoever has another key appends nothing.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};

use crate::{Database, Error, LockKey, Role, within};

/// How long a log may take to say which key it has, before anything is appended.
const WAIT: Duration = Duration::from_secs(3);

/// A fingerprint of a claim key: the first 8 bytes of a hash. It reveals nothing of the key, which is 256 random bits.
pub fn claim_key_mark(key: &[u8; 32]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"inopsio.claim-key.1");
    hasher.update(key);
    hex::encode(&hasher.finalize()[..8])
}

/// The mark of the log's key; `None` if nobody has appended since the log keeps it.
pub(crate) async fn of(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT mark FROM log.claim_key").fetch_optional(connection).await
}

/// Checks that the log's key has this mark. A log without a key takes it.
///
/// # Errors
/// One that [`is_another`] recognizes, if the log has another key.
pub(crate) async fn check(connection: &mut PgConnection, mark: &str) -> Result<(), sqlx::Error> {
    let of_the_log: String =
        sqlx::query_scalar("SELECT log.claim_key_mark($1)").bind(mark).fetch_one(connection).await?;
    if of_the_log == mark { Ok(()) } else { Err(sqlx::Error::Configuration(Box::new(Error::ClaimKey))) }
}

/// As [`check`], for a connection that appends: as long as it lives, no other mark takes the place of this one.
pub(crate) async fn keep(connection: &mut PgConnection, mark: &str) -> Result<(), sqlx::Error> {
    // First the lock: a mark could be replaced after it was compared.
    sqlx::query("SELECT pg_advisory_lock_shared($1)")
        .bind(LockKey::ClaimKey.number())
        .execute(&mut *connection)
        .await?;
    check(connection, mark).await
}

/// As [`check`], on a connection of its own. A log that does not answer now passes.
///
/// # Errors
/// [`Error::ClaimKey`].
pub(crate) async fn check_now(database: &Database, mark: &str) -> Result<(), Error> {
    let checked = async {
        let mut connection = database.options(Role::Append).connect().await?;
        check(&mut connection, mark).await?;
        connection.close().await
    };
    match within(WAIT, checked).await {
        Err(error) if is_another(&error) => Err(Error::ClaimKey),
        Err(error) => {
            tracing::debug!(%error, "it is not known yet whether the log has this claim key");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether the error says that the log has another claim key.
pub(crate) fn is_another(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Configuration(cause) if matches!(cause.downcast_ref::<Error>(), Some(Error::ClaimKey)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stay_the_same_because_they_are_stored() {
        assert_eq!(claim_key_mark(&[7; 32]), "f54892643929df3f");
        assert_ne!(claim_key_mark(&[7; 32]), claim_key_mark(&[8; 32]));
    }
}
