//! Checks whether decisions that arrive with a tenant from another cell contradict what consumers in this cell have processed already.
//!
//! A consumer here may process an event as it is in the log, although somebody in the other cell has edited or discarded it (after it was
//! parked there). If the event is parked here, too, the decision applies to the next attempt. If it was processed already, the decision
//! applies only when the read model is rebuilt.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Position, TenantId};
use sqlx::{PgConnection, Row};

use crate::Consumer;

/// The decisions in force for a tenant's events, by consumer and position: the payload of an edit, or `None` for a discard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts(BTreeMap<(String, Position), Option<String>>);

impl Verdicts {
    /// Loads the decisions in force for these consumers.
    ///
    /// # Errors
    /// A database error.
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

    /// Whether one of these consumers has processed an event contrary to a decision that was added since `self` was loaded; then its tables
    /// have to be rebuilt. Makes all parked letters due at once, and locks the open ones until the transaction ends.
    ///
    /// # Errors
    /// A database error.
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
        // The lock waits for attempts that are under way.
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
