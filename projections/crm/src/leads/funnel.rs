//! The funnel: how many of the captured leads reached each step by a given time, by source.

use chrono::{DateTime, Utc};
use crm_aggregates::LeadSource;
use kernel::TenantId;
use sqlx::{FromRow, PgConnection, Row};

use folding::named::Named;

/// The funnel of the leads of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct FunnelOfSource {
    /// The source.
    pub source: LeadSource,
    /// Number of captured leads.
    pub captured: i64,
    /// How many of these were assigned, or reached a later step.
    pub assigned: i64,
    /// How many were worked on, or reached a later step.
    pub in_process: i64,
    /// How many were qualified, or reached a later step.
    pub qualified: i64,
    /// How many were converted.
    pub converted: i64,
    /// How many were disqualified.
    pub disqualified: i64,
    /// Median time from capture to qualification, in seconds; `None` when none was qualified.
    pub seconds_to_qualify: Option<f64>,
    /// Median time from capture to conversion, in seconds; `None` when none was converted.
    pub seconds_to_convert: Option<f64>,
}

const FUNNEL: &str = "
    SELECT source,
           count(*)                                      AS captured,
           count(*) FILTER (WHERE assigned_at <= at)     AS assigned,
           count(*) FILTER (WHERE started_at <= at)      AS in_process,
           count(*) FILTER (WHERE qualified_at <= at)    AS qualified,
           count(*) FILTER (WHERE converted_at <= at)    AS converted,
           count(*) FILTER (WHERE disqualified_at <= at) AS disqualified,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM qualified_at - captured_at)::float8)
               FILTER (WHERE qualified_at <= at)         AS seconds_to_qualify,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM converted_at - captured_at)::float8)
               FILTER (WHERE converted_at <= at)         AS seconds_to_convert
    FROM lead, (SELECT coalesce($4, 'infinity'::timestamptz) AS at) moment
    WHERE tenant_id = $1 AND captured_at >= $2 AND captured_at < $3 AND captured_at <= at
      -- Leads that were withdrawn with their import do not count.
      AND withdrawn_at IS NULL
    GROUP BY source
    ORDER BY captured DESC, source";

/// The funnel of the leads captured from `from` until before `to`, as it was at `at` (`None`: now), without sources that have no leads.
pub async fn funnel(
    tables: &mut PgConnection,
    tenant: TenantId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    at: Option<DateTime<Utc>>,
) -> Result<Vec<FunnelOfSource>, sqlx::Error> {
    sqlx::query_as(FUNNEL).bind(tenant.uuid()).bind(from).bind(to).bind(at).fetch_all(tables).await
}

impl<'r> FromRow<'r, sqlx::postgres::PgRow> for FunnelOfSource {
    fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let Named(source) = row.try_get("source")?;
        Ok(Self {
            source,
            captured: row.try_get("captured")?,
            assigned: row.try_get("assigned")?,
            in_process: row.try_get("in_process")?,
            qualified: row.try_get("qualified")?,
            converted: row.try_get("converted")?,
            disqualified: row.try_get("disqualified")?,
            seconds_to_qualify: row.try_get("seconds_to_qualify")?,
            seconds_to_convert: row.try_get("seconds_to_convert")?,
        })
    }
}
