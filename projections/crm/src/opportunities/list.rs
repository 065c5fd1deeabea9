//! The list of deals.

use chrono::NaiveDate;
use crm_aggregates::OpportunityStatus;
use folding::list::{Filter, Order, first_of_each, of_tenant};
use folding::named::name;
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use folding::table::select;
use kernel::{Currency, TenantId};
use projector::distribute;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::{OpportunityHistoryRow, OpportunityRow};

/// A filter of deals; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpportunityFilter {
    /// Deals in one of these states.
    pub status: Option<Vec<OpportunityStatus>>,
    /// Deals in this pipeline.
    pub pipeline: Option<Uuid>,
    /// Deals in one of these stages, or closed while in one.
    pub stage: Option<Vec<Uuid>>,
    /// Deals with this account.
    pub account: Option<Uuid>,
    /// The user responsible.
    pub owner: Option<String>,
    /// Deals whose amount is in this currency.
    pub currency: Option<Currency>,
    /// Whether the deal is rotten: open, and nothing happened to it for as many days as its stage allows.
    pub rotten: Option<bool>,
    /// Deals expected to close on this day or later.
    pub close_from: Option<NaiveDate>,
    /// Deals expected to close before this day.
    pub close_before: Option<NaiveDate>,
}

/// The order of a list of deals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpportunityOrder {
    /// Earliest expected close date first.
    #[default]
    CloseDate,
    /// Most recently opened first.
    Newest,
    /// Largest amount in minor units first. This is meaningful only within one currency.
    Largest,
}

impl Order<OpportunityRow> for OpportunityOrder {
    fn keyset(self) -> Keyset {
        let (column, ty, descending) = match self {
            Self::CloseDate => ("close_date", KeyType::Day, false),
            Self::Newest => ("opened_at", KeyType::Time, true),
            Self::Largest => ("amount_minor", KeyType::Number, true),
        };
        Keyset { column, ty, id: "opportunity_id", descending }
    }

    fn seek(self, row: &OpportunityRow) -> Seek {
        let key = match self {
            Self::CloseDate => SeekKey::Day(row.close_date),
            Self::Newest => SeekKey::Time(row.opened_at),
            Self::Largest => SeekKey::Number(row.amount_minor),
        };
        Seek { key, id: row.opportunity_id }
    }
}

/// The deals of these accounts, at most `limit` for each, in the order in which they were opened.
pub async fn of_accounts(
    tables: &mut PgConnection,
    tenant: TenantId,
    accounts: &[Uuid],
    limit: i64,
) -> Result<Vec<OpportunityRow>, sqlx::Error> {
    first_of_each(tables, tenant, accounts, ("account_id", "opened_at"), "", limit).await
}

/// The changes of deals in the order of versions, for each deal those after the given version and at most the given number. An unknown deal
/// has none.
pub async fn histories(
    tables: &mut PgConnection,
    tenant: TenantId,
    asked: &[(Uuid, i64, i64)],
) -> Result<Vec<Vec<OpportunityHistoryRow>>, sqlx::Error> {
    let sql = format!(
        "SELECT a.nth, h.*
         FROM UNNEST($2::uuid[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS a (opportunity_id, after, most, nth)
         CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.opportunity_id = a.opportunity_id AND t.version > a.after
             ORDER BY t.version LIMIT a.most
         ) h
         ORDER BY a.nth, h.version",
        select::<OpportunityHistoryRow>()
    );
    let query = sqlx::query(&sql)
        .bind(tenant.uuid())
        .bind(asked.iter().map(|(deal, ..)| *deal).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, after, _)| *after).collect::<Vec<_>>())
        .bind(asked.iter().map(|(.., most)| *most).collect::<Vec<_>>());
    distribute(&query.fetch_all(tables).await?, asked.len())
}

impl Filter for OpportunityFilter {
    type Row = OpportunityRow;
    type Order = OpportunityOrder;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        let Self { status, pipeline, stage, account, owner, currency, rotten, close_from, close_before } = self.clone();
        of_tenant(query, tenant);
        if let Some(status) = status {
            query.push(" AND t.status = ANY(").push_bind(status.iter().map(name).collect::<Vec<_>>()).push(")");
        }
        if let Some(pipeline) = pipeline {
            query.push(" AND t.pipeline_id = ").push_bind(pipeline);
        }
        if let Some(stage) = stage {
            query.push(" AND t.stage_id = ANY(").push_bind(stage).push(")");
        }
        if let Some(account) = account {
            query.push(" AND t.account_id = ").push_bind(account);
        }
        if let Some(owner) = owner {
            query.push(" AND t.owner = ").push_bind(owner);
        }
        if let Some(currency) = currency {
            query.push(" AND t.currency = ").push_bind(currency.code().to_owned());
        }
        if let Some(rotten) = rotten {
            push_rotten(query, tenant, rotten);
        }
        if let Some(from) = close_from {
            query.push(" AND t.close_date >= ").push_bind(from);
        }
        if let Some(before) = close_before {
            query.push(" AND t.close_date < ").push_bind(before);
        }
    }
}

/// Adds the condition that a deal is rotten, or that it is not. The sub-select with the stages' limits is evaluated once, not for each
/// deal. This condition has no index of its own: it filters the rows that the other conditions and the list's order find.
fn push_rotten(query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId, rotten: bool) {
    query.push(
        " AND (t.status = 'open' AND t.changed_at <= now() - make_interval(hours => 24 * ((
            SELECT jsonb_object_agg(s.id, s.rotten_after_days)
            FROM pipeline_history p
                 CROSS JOIN LATERAL jsonb_to_recordset(p.stages) AS s (id uuid, rotten_after_days int)
            WHERE p.known_to = 'infinity' AND p.tenant_id = ",
    );
    query.push_bind(tenant.uuid());
    query.push(") ->> t.stage_id::text)::int)) IS ").push(if rotten { "TRUE" } else { "NOT TRUE" });
}
