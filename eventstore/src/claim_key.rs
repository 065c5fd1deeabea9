//! The key that hashes the claims of a log, by its mark. The log keeps the mark, and whoever has another key appends nothing.

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};

use crate::database::QUESTION;
use crate::{Database, Error, LockKey, Role, within};

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

/// Whether the log has a mark already. One that does not answer now, or not the role that sees the mark, counts as one without.
pub(crate) async fn is_marked(database: &Database) -> bool {
    let asked = async {
        let mut connection = database.options(Role::Backup).connect().await?;
        let mark = of(&mut connection).await;
        // The answer is known, however the connection ends.
        let _ = connection.close().await;
        mark
    };
    match within(QUESTION, asked).await {
        Ok(mark) => mark.is_some(),
        Err(error) => {
            tracing::debug!(service = %database.service, %error, "it is not known yet whether the log has a claim key");
            false
        }
    }
}

/// Whether the log's key has this mark. A log without a key takes it.
pub(crate) async fn is_of_the_log(connection: &mut PgConnection, mark: &str) -> Result<bool, sqlx::Error> {
    let of_the_log: String =
        sqlx::query_scalar("SELECT log.claim_key_mark($1)").bind(mark).fetch_one(connection).await?;
    Ok(of_the_log == mark)
}

/// Checks that the log's key has this mark, for a connection that appends: as long as it lives, no other mark takes the place of this one.
///
/// # Errors
/// One that [`is_another`] recognizes, if the log has another key.
pub(crate) async fn keep(connection: &mut PgConnection, mark: &str) -> Result<(), sqlx::Error> {
    // First the lock: a mark could be replaced after it was compared.
    sqlx::query("SELECT pg_advisory_lock_shared($1)")
        .bind(LockKey::ClaimKey.number())
        .execute(&mut *connection)
        .await?;
    if is_of_the_log(connection, mark).await? {
        return Ok(());
    }
    Err(sqlx::Error::Configuration(Box::new(Error::ClaimKey)))
}

/// Checks the same before anything is appended. A log that does not answer now passes.
///
/// # Errors
/// [`Error::ClaimKey`].
pub(crate) async fn check_now(database: &Database, mark: &str) -> Result<(), Error> {
    let asked = async {
        let mut connection = database.options(Role::Append).connect().await?;
        let is_ours = is_of_the_log(&mut connection, mark).await;
        // The answer is known, however the connection ends.
        let _ = connection.close().await;
        is_ours
    };
    match within(QUESTION, asked).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::ClaimKey),
        Err(error) => {
            tracing::debug!(service = %database.service, %error, "it is not known yet whether the log has this claim key");
            Ok(())
        }
    }
}

/// Whether a connection for appends was given up because the log has another claim key.
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
