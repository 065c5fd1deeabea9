//! The organizations of a tenant.

use chrono::{DateTime, Utc};
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::paging::{KeyType, Keyset, ListError, Seek, SeekKey};
use folding::table::{Key, select, upsert};
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
    /// An organization as it is.
    pub struct OrganizationRow in "organization" key ("tenant_id", "organization_id") {
        pub tenant_id: Uuid = "uuid",
        pub organization_id: Uuid = "uuid",
        /// The organization's version that this row shows.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// The organization that it is a part of.
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
            // A stream begins with it, and only there.
            OrganizationEvent::OrganizationCreated(_) => {}
            OrganizationEvent::OrganizationRenamed(e) => self.name.clone_from(&e.name),
            OrganizationEvent::OrganizationClosed(_) => self.closed = true,
        }
    }
}

const BY_NAME: Keyset = Keyset { column: "name", ty: KeyType::Text, id: "organization_id", descending: false };

/// Which organizations; what is `None` does not matter. Closed ones are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrganizationFilter {
    /// Parts of this one.
    pub parent: Option<OrganizationId>,
}

impl OrganizationFilter {
    fn push(self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        query.push("WHERE t.tenant_id = ").push_bind(tenant.uuid()).push(" AND NOT t.closed");
        if let Some(parent) = self.parent {
            query.push(" AND t.parent_id = ").push_bind(parent.uuid());
        }
    }
}

/// Where a page that ends with `row` ends.
pub fn seek(row: &OrganizationRow) -> Seek {
    Seek { key: SeekKey::Text(row.name.clone()), id: row.organization_id }
}

/// At most `limit` organizations after `after`, by name.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: OrganizationFilter,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<OrganizationRow>, ListError> {
    let mut query = QueryBuilder::new(select::<OrganizationRow>());
    filter.push(&mut query, tenant);
    BY_NAME.after(&mut query, after)?;
    BY_NAME.limit(&mut query, limit);
    Ok(query.build_query_as().fetch_all(tables).await?)
}

/// How many organizations the filter lets through.
pub async fn count(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &OrganizationFilter,
) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM organization t ");
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// These organizations, in no order; unknown ids are left out.
pub async fn find(
    tables: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<OrganizationRow>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    folding::table::load(&keys, tables).await
}
