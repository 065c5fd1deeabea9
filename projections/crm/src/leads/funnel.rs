//! The funnel: how many of the captured leads reached each step by a given time, by source.

use chrono::{DateTime, Utc};
use crm_aggregates::LeadSource;
use kernel::TenantId;
use sqlx::{FromRow, PgConnection, Row};

use folding::as_of::AsOf;
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
           count(*)               AS captured,
           count(assigned_at)     AS assigned,
           count(started_at)      AS in_process,
           count(qualified_at)    AS qualified,
           count(converted_at)    AS converted,
           count(disqualified_at) AS disqualified,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM qualified_at - captured_at)::float8)
                                  AS seconds_to_qualify,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM converted_at - captured_at)::float8)
                                  AS seconds_to_convert";

/// When each lead reached its steps, with everything that is recorded: the list of leads shows it.
const TODAY: &str = "
    SELECT source, captured_at, assigned_at, started_at, qualified_at, converted_at, disqualified_at
    FROM lead
    WHERE tenant_id = $1 AND captured_at >= $4 AND captured_at < $5 AND withdrawn_at IS NULL
      AND coalesce($2::timestamptz, $3::timestamptz) IS NULL";

/// When each lead had reached its steps, by the versions that had begun and were known. One that was not known yet has none. One that was
/// withdrawn with its import does not count, even if it was erased after that.
const THEN: &str = "
    SELECT source, captured_at, reached.*
    FROM lead CROSS JOIN LATERAL (
        SELECT min(valid_from) FILTER (WHERE status IN ('assigned', 'in_process', 'qualified', 'converted')) AS assigned_at,
               min(valid_from) FILTER (WHERE status IN ('in_process', 'qualified', 'converted')) AS started_at,
               min(valid_from) FILTER (WHERE status IN ('qualified', 'converted')) AS qualified_at,
               min(valid_from) FILTER (WHERE status = 'converted') AS converted_at,
               min(valid_from) FILTER (WHERE status = 'disqualified') AS disqualified_at
        FROM lead_history h
        WHERE h.tenant_id = $1 AND h.lead_id = lead.lead_id
          AND h.valid_from <= coalesce($2::timestamptz, 'infinity')
          AND h.known_from <= coalesce($3::timestamptz, 'infinity')
        HAVING (array_agg(h.status ORDER BY h.version DESC) FILTER (WHERE h.status <> 'erased'))[1] <> 'withdrawn'
    ) reached
    WHERE lead.tenant_id = $1 AND captured_at >= $4 AND captured_at < $5";

/// The funnel of the leads captured from `from` until before `to`, as of a moment, without sources that have no leads.
pub async fn funnel(
    tables: &mut PgConnection,
    tenant: TenantId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    as_of: AsOf,
) -> Result<Vec<FunnelOfSource>, sqlx::Error> {
    let leads = if as_of == AsOf::TODAY { TODAY } else { THEN };
    let sql = format!("{FUNNEL} FROM ({leads}) leads GROUP BY source ORDER BY captured DESC, source");
    sqlx::query_as(&sql)
        .bind(tenant.uuid())
        .bind(as_of.at)
        .bind(as_of.known)
        .bind(from)
        .bind(to)
        .fetch_all(tables)
        .await
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
