//! The organizations of a tenant.

use chrono::{DateTime, Utc};
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
pub use folding::list::count;
use folding::list::{Filter, Order, of_tenant};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use folding::table::{Key, upsert};
use folding::{projection, table};
use kernel::{RecordedEvent, TenantId};
use projector::ApplyError;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use user_aggregates::{OrganizationEvent, OrganizationId};
use uuid::Uuid;

projection! {
    /// Projects organizations.
    pub struct Organizations = "organizations" @ 1, tables ["organization"], events "user.organization." by apply,
    counts "organization_id" in ["organization"]
}

table! {
    /// The current state of an organization.
    pub struct OrganizationRow in "organization" key ("tenant_id", "organization_id") {
        pub tenant_id: Uuid = "uuid",
        pub organization_id: Uuid = "uuid",
        /// The organization's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// The parent organization.
        pub parent_id: Option<Uuid> = "uuid",
        pub closed: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<OrganizationEvent>(events)?;
    let folded = fold::<OrganizationRow>(&changes, tables, |_, _| Ok(())).await?;
    Ok(upsert(&folded.after, tables).await?)
}

impl Current for OrganizationRow {
    type Event = OrganizationEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.organization_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, OrganizationEvent>) -> Option<Self> {
        let OrganizationEvent::OrganizationCreated(created) = &change.event else { return None };
        let (tenant_id, organization_id) = change.key;
        Some(Self {
            tenant_id,
            organization_id,
            version: change.version,
            name: created.name.clone(),
            parent_id: created.parent.map(OrganizationId::uuid),
            closed: false,
            created_at: change.occurred_at,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, OrganizationEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            // Occurs only at the beginning of a stream.
            OrganizationEvent::OrganizationCreated(_) => {}
            OrganizationEvent::OrganizationRenamed(e) => self.name.clone_from(&e.name),
            OrganizationEvent::OrganizationClosed(_) => self.closed = true,
        }
    }
}

/// A filter of organizations; `None` means any. Closed ones never match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrganizationFilter {
    /// Children of this organization.
    pub parent: Option<OrganizationId>,
}

impl Filter for OrganizationFilter {
    type Row = OrganizationRow;
    type Order = ByName;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant(query, tenant).push(" AND NOT t.closed");
        if let Some(parent) = self.parent {
            query.push(" AND t.parent_id = ").push_bind(parent.uuid());
        }
    }
}

/// By name, in the order of code points.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl Order<OrganizationRow> for ByName {
    fn keyset(self) -> Keyset {
        Keyset { column: "name", ty: KeyType::Text, id: "organization_id", descending: false }
    }

    fn seek(self, row: &OrganizationRow) -> Seek {
        Seek { key: SeekKey::Text(row.name.clone()), id: row.organization_id }
    }
}
