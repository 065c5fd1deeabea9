//! Decisions that come along with a tenant from another cell: whether what its consumers here have taken already is as they say.
//!
//! A program there may take an event that could not be taken before, as the log has it, before it hears that somebody has edited or discarded
//! it. Where the event is parked here, too, the decision is heeded when it is tried again; where it was taken, only a read model that is built
//! anew heeds it.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Position, TenantId};
use sqlx::{PgConnection, Row};

use crate::Consumer;

/// What holds for a tenant's events, by consumer: the payload of an edit, or none of what is discarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts(BTreeMap<(String, Position), Option<String>>);

impl Verdicts {
    /// What holds for these consumers by now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn load(
        connection: &mut PgConnection,
        tenant: TenantId,
        consumers: &[Consumer],
    ) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT DISTINCT ON (consumer, position) consumer, position, after FROM dead.decisions
             WHERE tenant_id = $1 AND consumer = ANY($2) AND kind <> 'redrive'
             ORDER BY consumer, position, nth DESC",
        )
        .bind(tenant.uuid())
        .bind(names(consumers))
        .fetch_all(connection)
        .await?;
        let read = |row: &sqlx::postgres::PgRow| {
            let at = (row.try_get("consumer")?, Position::from_i64(row.try_get("position")?));
            Ok((at, row.try_get("after")?))
        };
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map(Self)
    }

    /// Whether one of these consumers has taken an event otherwise than is decided by now, where `self` is what held before: its tables are
    /// to be built anew. What is parked here is tried soon; until the transaction ends it is tried by nobody.
    ///
    /// # Errors
    /// What the database says.
    pub async fn is_overruled(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        consumers: &[Consumer],
    ) -> Result<bool, sqlx::Error> {
        let now = Self::load(connection, tenant, consumers).await?;
        let changed: Vec<_> = now.0.iter().filter(|(at, verdict)| self.0.get(*at) != Some(*verdict)).collect();
        if changed.is_empty() {
            return Ok(false);
        }
        // Whoever tries one of them now has ended when this answers.
        let waiting: BTreeSet<(String, Position)> = sqlx::query(
            "SELECT consumer, position FROM dead.letters
             WHERE tenant_id = $1 AND consumer = ANY($2) AND state IN ('parked', 'waiting') FOR UPDATE",
        )
        .bind(tenant.uuid())
        .bind(names(consumers))
        .fetch_all(&mut *connection)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("consumer")?, Position::from_i64(row.try_get("position")?))))
        .collect::<Result<_, sqlx::Error>>()?;
        sqlx::query(
            "UPDATE dead.letters SET next_attempt_at = clock_timestamp()
             WHERE tenant_id = $1 AND consumer = ANY($2) AND state = 'parked'",
        )
        .bind(tenant.uuid())
        .bind(names(consumers))
        .execute(connection)
        .await?;
        Ok(changed.iter().any(|(at, _)| !waiting.contains(*at)))
    }
}

fn names(consumers: &[Consumer]) -> Vec<&str> {
    consumers.iter().map(Consumer::as_str).collect()
}
