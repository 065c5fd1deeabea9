//! Closed tenants (`log.closed`): nothing may be written for them here, because they are being moved to another cell, live in one, or are
//! deleted.

use kernel::TenantId;
use sqlx::{PgPool, Row};

use crate::{Error, read};

/// Why a tenant is closed in this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closure {
    /// It is being moved to another cell: no writes, reads are allowed.
    Paused,
    /// It lives in another cell; the data here is an old copy.
    Left,
    /// It is being moved here, and its data is not complete yet.
    Arriving,
    /// It is deleted.
    Deleted,
}

impl Closure {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Left => "left",
            Self::Arriving => "arriving",
            Self::Deleted => "deleted",
        }
    }

    /// The closure with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Paused, Self::Left, Self::Arriving, Self::Deleted].into_iter().find(|one| one.as_str() == name)
    }

    /// Whether the tenant's data here is a copy that it does not use, because it lives in another cell.
    pub const fn is_copy(self) -> bool {
        matches!(self, Self::Left | Self::Arriving)
    }

    /// Whether the tenant's data here may still be read.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Paused)
    }
}

/// All tenants that are closed now.
#[expect(clippy::disallowed_methods, reason = "whoever moves tenants wrote down which")]
pub(crate) async fn all(pool: &PgPool) -> Result<Vec<(TenantId, Closure)>, Error> {
    read::with_retries(|| async move {
        // There are few of them: no index.
        let rows = sqlx::query("SELECT tenant_id, state FROM log.closed WHERE until > clock_timestamp()")
            .fetch_all(pool)
            .await?;
        let closed = rows.iter().map(|row| {
            let state: &str = row.try_get(1)?;
            let closure = Closure::named(state).ok_or_else(|| Error::Corrupt(format!("a tenant is {state:?}")))?;
            Ok((TenantId::vouched(row.try_get(0)?), closure))
        });
        closed.collect()
    })
    .await
}

/// Whether Postgres refused a row because its tenant is closed, that is, by the policy `closed` of the table `commands`. Both names are in
/// the error message in every language of the server, and no other error contains both.
pub(crate) fn refuses(error: &sqlx::Error) -> bool {
    denies(error, |message| ["closed", "commands"].iter().all(|name| message.contains(name)))
}

/// Whether Postgres refused a row of the tables beside the log (jobs, webhooks, dead letters), which people write, because its tenant is
/// closed. The policies have these names in all of them.
pub(crate) fn refuses_beside(error: &sqlx::Error) -> bool {
    denies(error, |message| ["closed_to_new", "closed_to_change"].iter().any(|name| message.contains(name)))
}

/// Whether Postgres denied a statement with such a message.
fn denies(error: &sqlx::Error, with: impl Fn(&str) -> bool) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().as_deref() == Some("42501") && with(error.message())
}
