//! The lead list.

use chrono::{DateTime, Utc};
use crm_aggregates::{LeadSource, LeadStatus};
use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::LeadRow;
use folding::named::name;
use folding::paging::{KeyType, Keyset, ListError, Seek, SeekKey};
use folding::table::{self, select};

/// Which leads; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadFilter {
    /// In one of these states.
    pub status: Option<Vec<LeadStatus>>,
    /// From one of these sources.
    pub source: Option<Vec<LeadSource>>,
    /// The user responsible.
    pub owner: Option<String>,
    /// `true`: nobody is responsible.
    pub unowned: bool,
    /// The e-mail address, in any case.
    pub email: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Captured at this time or later.
    pub captured_from: Option<DateTime<Utc>>,
    /// Captured before this time.
    pub captured_before: Option<DateTime<Utc>>,
    /// Brought by this import.
    pub import: Option<Uuid>,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeadOrder {
    /// Last captured first.
    #[default]
    Newest,
    /// First captured first.
    Oldest,
}

impl LeadOrder {
    /// Where a page that ends with `row` ends.
    pub fn seek(self, row: &LeadRow) -> Seek {
        Seek { key: SeekKey::Time(row.captured_at), id: row.lead_id }
    }

    fn keyset(self) -> Keyset {
        Keyset { column: "captured_at", ty: KeyType::Time, id: "lead_id", descending: self == Self::Newest }
    }
}

/// At most `limit` leads after `after`.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &LeadFilter,
    order: LeadOrder,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<LeadRow>, ListError> {
    let mut query = QueryBuilder::new(select::<LeadRow>());
    filter.push(&mut query, tenant);
    order.keyset().after(&mut query, after)?;
    order.keyset().limit(&mut query, limit);
    Ok(query.build_query_as().fetch_all(tables).await?)
}

/// How many leads the filter lets through.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, filter: &LeadFilter) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM lead t ");
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// These leads, in no order; unknown ids are left out.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<LeadRow>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    table::load(&keys, tables).await
}

impl LeadFilter {
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        let Self { status, source, owner, unowned, email, country, captured_from, captured_before, import } =
            self.clone();
        query.push("WHERE t.tenant_id = ").push_bind(tenant.uuid());
        if let Some(status) = status {
            query.push(" AND t.status = ANY(").push_bind(status.iter().map(name).collect::<Vec<_>>()).push(")");
        }
        if let Some(source) = source {
            query.push(" AND t.source = ANY(").push_bind(source.iter().map(name).collect::<Vec<_>>()).push(")");
        }
        if let Some(owner) = owner {
            query.push(" AND t.owner = ").push_bind(owner);
        }
        if unowned {
            query.push(" AND t.owner IS NULL");
        }
        if let Some(email) = email {
            query.push(" AND t.email = ").push_bind(email.to_lowercase());
        }
        if let Some(country) = country {
            query.push(" AND t.country = ").push_bind(country);
        }
        if let Some(from) = captured_from {
            query.push(" AND t.captured_at >= ").push_bind(from);
        }
        if let Some(before) = captured_before {
            query.push(" AND t.captured_at < ").push_bind(before);
        }
        if let Some(import) = import {
            query.push(" AND t.import_id = ").push_bind(import);
        }
    }
}
