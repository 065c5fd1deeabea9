//! The domains of a tenant.

use chrono::{DateTime, Utc};
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::list::{Filter, Order};
pub use folding::list::{count, of_tenant};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use folding::table::{Key, upsert};
use folding::{projection, table};
use kernel::{RecordedEvent, TenantId};
use projector::ApplyError;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use user_aggregates::DomainEvent;
use uuid::Uuid;

projection! {
    /// Projects domains.
    pub struct Domains = "domains" @ 1, tables ["domain"], events "user.domain." by apply,
    counts "domain_id" in ["domain"]
}

table! {
    /// The current state of a domain.
    pub struct DomainRow in "domain" key ("tenant_id", "domain_id") {
        pub tenant_id: Uuid = "uuid",
        pub domain_id: Uuid = "uuid",
        /// The domain's version.
        pub version: i64 = "bigint",
        pub domain: String = "text",
        /// When the DNS record was first found, or found again after it was missing.
        pub verified_at: Option<DateTime<Utc>> = "timestamptz",
        /// Since when the DNS record is missing.
        pub missing_since: Option<DateTime<Utc>> = "timestamptz",
        pub released: bool = "boolean",
        pub claimed_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<DomainEvent>(events)?;
    let folded = fold::<DomainRow>(&changes, tables, |_, _| Ok(())).await?;
    Ok(upsert(&folded.after, tables).await?)
}

impl Current for DomainRow {
    type Event = DomainEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.domain_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, DomainEvent>) -> Option<Self> {
        let DomainEvent::DomainClaimed(claimed) = &change.event else { return None };
        let (tenant_id, domain_id) = change.key;
        Some(Self {
            tenant_id,
            domain_id,
            version: change.version,
            domain: claimed.domain.clone(),
            verified_at: None,
            missing_since: None,
            released: false,
            claimed_at: change.occurred_at,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, DomainEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            // Occurs only at the beginning of a stream.
            DomainEvent::DomainClaimed(_) => {}
            DomainEvent::DomainVerified(_) => {
                (self.verified_at, self.missing_since) = (Some(change.occurred_at), None);
            }
            DomainEvent::DomainRecordMissing(_) => self.missing_since = Some(change.occurred_at),
            DomainEvent::DomainReleased(_) => self.released = true,
        }
    }
}

/// The filter of domains: those that were not released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainFilter;

impl Filter for DomainFilter {
    type Row = DomainRow;
    type Order = ByName;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant(query, tenant).push(" AND NOT t.released");
    }
}

/// By name.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl Order<DomainRow> for ByName {
    fn keyset(self) -> Keyset {
        Keyset { column: "domain", ty: KeyType::Text, id: "domain_id", descending: false }
    }

    fn seek(self, row: &DomainRow) -> Seek {
        Seek { key: SeekKey::Text(row.domain.clone()), id: row.domain_id }
    }
}
