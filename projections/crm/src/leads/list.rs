//! The lead list.

use chrono::{DateTime, Utc};
use crm_aggregates::{LeadSource, LeadStatus};
use folding::list::{Filter, Order, of_tenant};
use folding::named::name;
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::LeadRow;

/// A filter of leads; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadFilter {
    /// Leads in one of these states.
    pub status: Option<Vec<LeadStatus>>,
    /// Leads from one of these sources.
    pub source: Option<Vec<LeadSource>>,
    /// The user responsible.
    pub owner: Option<String>,
    /// Whether only leads without a responsible user match.
    pub unowned: bool,
    /// The e-mail address; case does not matter.
    pub email: Option<String>,
    /// The ISO 3166-1 alpha-2 code of the country; case does not matter.
    pub country: Option<String>,
    /// Leads captured at this time or later.
    pub captured_from: Option<DateTime<Utc>>,
    /// Leads captured before this time.
    pub captured_before: Option<DateTime<Utc>>,
    /// Leads created by this import.
    pub import: Option<Uuid>,
}

/// The order of a list of leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeadOrder {
    /// Last captured first.
    #[default]
    Newest,
    /// First captured first.
    Oldest,
}

/// A lead that this import created.
pub async fn of_import(tables: &mut PgConnection, tenant: TenantId, import: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar("SELECT lead_id FROM lead WHERE tenant_id = $1 AND import_id = $2 LIMIT 1")
        .bind(tenant.uuid())
        .bind(import)
        .fetch_optional(tables)
        .await
}

impl Order<LeadRow> for LeadOrder {
    fn keyset(self) -> Keyset {
        Keyset { column: "captured_at", ty: KeyType::Time, id: "lead_id", descending: self == Self::Newest }
    }

    fn seek(self, row: &LeadRow) -> Seek {
        Seek { key: SeekKey::Time(row.captured_at), id: row.lead_id }
    }
}

impl Filter for LeadFilter {
    type Row = LeadRow;
    type Order = LeadOrder;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        let Self { status, source, owner, unowned, email, country, captured_from, captured_before, import } =
            self.clone();
        of_tenant(query, tenant);
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
            query.push(" AND t.email = ").push_bind(kernel::folded(&email));
        }
        if let Some(country) = country {
            query.push(" AND t.country = ").push_bind(country.to_ascii_uppercase());
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
