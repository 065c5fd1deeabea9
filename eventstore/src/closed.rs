//! Tenants for whom nothing may be written here: they are on their way to another cell, live there, or are deleted (`log.closed`).

use kernel::TenantId;
use sqlx::{PgPool, Row};

use crate::{Error, read};

/// Why a tenant is closed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closure {
    /// It is on its way out: nothing is written, all can be read.
    Paused,
    /// It lives elsewhere; what is here is an old copy.
    Left,
    /// It is on its way here, and not whole yet.
    Arriving,
    /// It is no more.
    Deleted,
}

impl Closure {
    /// As the table has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Left => "left",
            Self::Arriving => "arriving",
            Self::Deleted => "deleted",
        }
    }

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Paused, Self::Left, Self::Arriving, Self::Deleted].into_iter().find(|one| one.as_str() == name)
    }

    /// Whether what is here may still be read.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Paused)
    }
}

/// The tenants that are closed now.
#[expect(clippy::disallowed_methods, reason = "whoever moves tenants wrote down which")]
pub(crate) async fn all(pool: &PgPool) -> Result<Vec<(TenantId, Closure)>, Error> {
    read::patiently(|| async move {
        // Few are: no index.
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

/// Whether Postgres refused a row because its tenant is closed: by the policy `closed` of the table `commands`. Both names stand in
/// what it says in any language, and nothing else in it is refused by both.
pub(crate) fn refuses(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().as_deref() == Some("42501") && ["closed", "commands"].iter().all(|name| error.message().contains(name))
}
