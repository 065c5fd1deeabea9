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

/// When each lead had reached its steps, as far as its row tells: a row has the first time of each step. It does not tell whether an imported
/// lead that changed after that was withdrawn then, and restored later.
const FROM_ROWS: &str = "
    SELECT source, captured_at,
           CASE WHEN assigned_at <= $2::timestamptz THEN assigned_at END AS assigned_at,
           CASE WHEN started_at <= $2 THEN started_at END AS started_at,
           CASE WHEN qualified_at <= $2 THEN qualified_at END AS qualified_at,
           CASE WHEN converted_at <= $2 THEN converted_at END AS converted_at,
           CASE WHEN disqualified_at <= $2 THEN disqualified_at END AS disqualified_at
    FROM lead
    WHERE tenant_id = $1 AND captured_at >= $4 AND captured_at < $5 AND captured_at <= $2 AND withdrawn_at IS NULL
      AND (import_id IS NULL OR changed_at <= $2) AND $3::timestamptz IS NULL";

/// The imported leads of whom the row does not tell it. Those withdrawn by then and never restored do not count.
const NOT_FROM_ROWS: &str =
    "AND import_id IS NOT NULL AND changed_at > $2::timestamptz AND (withdrawn_at > $2) IS NOT FALSE";

/// When each lead had reached its steps, by the versions that had begun and were known. One that was not known yet has none. One that was
/// withdrawn with its import does not count, even if it was erased after that. A lookup for each lead: joined as a whole, each lead is
/// compared with each version where Postgres has no statistics of the tenant.
const FROM_HISTORY: &str = "
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
        HAVING max(version) FILTER (WHERE status NOT IN ('withdrawn', 'erased'))
             > coalesce(max(version) FILTER (WHERE status = 'withdrawn'), 0)
    ) reached
    WHERE lead.tenant_id = $1 AND captured_at >= $4 AND captured_at < $5
      AND captured_at <= coalesce($2::timestamptz, 'infinity')";

/// The funnel of the leads captured from `from` until before `to`, as of a moment, without sources that have no leads.
///
/// The history of each lead is read if it matters when something was recorded. Otherwise the rows of leads tell nearly everything.
pub async fn funnel(
    tables: &mut PgConnection,
    tenant: TenantId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    as_of: AsOf,
) -> Result<Vec<FunnelOfSource>, sqlx::Error> {
    let leads = match (as_of.at, as_of.known) {
        (None, None) => TODAY.to_owned(),
        (Some(_), None) => format!("{FROM_ROWS} UNION ALL {FROM_HISTORY} {NOT_FROM_ROWS}"),
        (_, Some(_)) => FROM_HISTORY.to_owned(),
    };
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
