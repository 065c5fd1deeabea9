//! The movements of a pipeline between two moments: deals that were opened, closed or changed stage, amount, close date or owner.

use chrono::{DateTime, NaiveDate, Utc};
use crm_aggregates::OpportunityStatus;
use kernel::{Currency, Money, TenantId};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use folding::named::Named;

/// A deal that differs between the beginning and the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DealMovement {
    /// The opportunity's id.
    pub opportunity: Uuid,
    /// Its current name.
    pub name: String,
    /// Its state at the beginning; `None` if it did not exist then.
    pub before: Option<Deal>,
    /// Its state at the end.
    pub after: Deal,
    /// The movements; at least one.
    pub movements: Vec<Movement>,
}

/// The state of a deal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deal {
    /// Its stage.
    pub stage: Uuid,
    /// Open, won or lost.
    pub status: OpportunityStatus,
    /// Its amount.
    pub amount: Money,
    /// The expected close date.
    pub close_date: NaiveDate,
    /// The responsible user.
    pub owner: Option<String>,
}

/// A kind of movement. One deal may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// It was opened.
    Opened,
    /// It was won.
    Won,
    /// It was lost.
    Lost,
    /// It was closed, and is open again.
    Reopened,
    /// It is in another stage.
    StageChanged,
    /// Its amount is larger.
    Grown,
    /// Its amount is smaller.
    Shrunk,
    /// Its amount is in another currency.
    CurrencyChanged,
    /// It is expected to close later.
    Slipped,
    /// It is expected to close earlier.
    PulledIn,
    /// Another user is responsible.
    Reassigned,
}

/// A pipeline and a period, and as of when it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The pipeline.
    pub pipeline: Uuid,
    /// The beginning: changes after this moment are included.
    pub from: DateTime<Utc>,
    /// The end: changes at this moment are included; `None`: until now.
    pub to: Option<DateTime<Utc>>,
    /// Only changes that the log had recorded by this time, at the beginning as at the end; `None`: all that it has recorded.
    pub known: Option<DateTime<Utc>>,
}

/// The total value of the deals with one kind of movement, by their currencies at the beginning and at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementSum {
    /// The movement.
    pub movement: Movement,
    /// The number of deals.
    pub count: i64,
    /// Their currency at the end, and their sum in its minor units.
    pub after: (Currency, i128),
    /// The same at the beginning; `None` if the deals did not exist then.
    pub before: Option<(Currency, i128)>,
}

/// For each deal with known versions in the period: the last of these (`a`), the version before the first of them (`b`), and the movements
/// between the two, which are none if the deal is again as it was. A version is known if a later one is, so `b` is. The `LIMIT 1` does not
/// change the result, since the keys are unique. It keeps Postgres from joining the whole history when it overestimates the number of
/// versions in the period.
const MOVED: &str = "
    WITH moved AS (
        SELECT opportunity_id, min(version) AS first, max(version) AS last
        FROM opportunity_history
        WHERE tenant_id = $1 AND pipeline_id = $2 AND valid_from > $3 AND valid_from <= coalesce($4, 'infinity'::timestamptz)
              AND known_from <= coalesce($5, 'infinity'::timestamptz)
        GROUP BY opportunity_id
    ), deals AS (
        SELECT moved.opportunity_id,
               a.stage_id, a.status, a.amount_minor, a.currency, a.close_date, a.owner,
               b.stage_id AS before_stage_id, b.status AS before_status, b.amount_minor AS before_amount_minor,
               b.currency AS before_currency, b.close_date AS before_close_date, b.owner AS before_owner,
               array_remove(ARRAY[
                   CASE WHEN b.status IS NULL THEN 'opened' END,
                   CASE WHEN a.status = coalesce(b.status, 'open') THEN NULL
                        WHEN a.status = 'open' THEN 'reopened'
                        ELSE a.status END,
                   CASE WHEN a.stage_id <> b.stage_id THEN 'stage_changed' END,
                   CASE WHEN a.currency <> b.currency THEN 'currency_changed'
                        WHEN a.amount_minor > b.amount_minor THEN 'grown'
                        WHEN a.amount_minor < b.amount_minor THEN 'shrunk' END,
                   CASE WHEN a.close_date > b.close_date THEN 'slipped'
                        WHEN a.close_date < b.close_date THEN 'pulled_in' END,
                   CASE WHEN b.status IS NOT NULL AND a.owner IS DISTINCT FROM b.owner THEN 'reassigned' END
               ], NULL) AS movements
        FROM moved,
        LATERAL (
            SELECT * FROM opportunity_history h
            WHERE h.tenant_id = $1 AND h.opportunity_id = moved.opportunity_id AND h.version = moved.last
            LIMIT 1
        ) a
        LEFT JOIN LATERAL (
            SELECT * FROM opportunity_history h
            WHERE h.tenant_id = $1 AND h.opportunity_id = moved.opportunity_id AND h.version = moved.first - 1
            LIMIT 1
        ) b ON true
    )";

/// At most `limit` deals of a pipeline with one of the movements in `wanted`, or with any, by id, after the id `after`.
pub async fn moved(
    tables: &mut PgConnection,
    tenant: TenantId,
    span: Span,
    wanted: Option<&[Movement]>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<DealMovement>, sqlx::Error> {
    let sql = format!(
        "{MOVED}
    SELECT deals.*, o.name
    FROM deals
    JOIN opportunity o ON o.tenant_id = (SELECT $1) AND o.opportunity_id = deals.opportunity_id
    WHERE movements <> '{{}}' AND movements && coalesce($6, movements)
          AND deals.opportunity_id > coalesce($7, '00000000-0000-0000-0000-000000000000'::uuid)
    ORDER BY deals.opportunity_id
    LIMIT $8"
    );
    bound(&sql, tenant, span).bind(names(wanted)).bind(after).bind(limit).fetch_all(tables).await
}

/// The number of deals of a pipeline with one of the movements in `wanted`, or with any.
pub async fn count_moved(
    tables: &mut PgConnection,
    tenant: TenantId,
    span: Span,
    wanted: Option<&[Movement]>,
) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "{MOVED} SELECT count(*) FROM deals WHERE movements <> '{{}}' AND movements && coalesce($6, movements)"
    );
    let (count,): (i64,) = bound(&sql, tenant, span).bind(names(wanted)).fetch_one(tables).await?;
    Ok(count)
}

/// The sums of the movements in a pipeline, by movement, currency at the end and currency at the beginning.
pub async fn movement_sums(
    tables: &mut PgConnection,
    tenant: TenantId,
    span: Span,
) -> Result<Vec<MovementSum>, sqlx::Error> {
    // Sums are read as text, because a tenant's largest amounts may add up to more than a bigint.
    let sql = format!(
        "{MOVED}
    SELECT movement, currency, before_currency, count(*) AS count,
           sum(amount_minor)::text AS minor, sum(before_amount_minor)::text AS before_minor
    FROM deals, unnest(movements) AS movement
    GROUP BY movement, currency, before_currency"
    );
    bound(&sql, tenant, span).fetch_all(tables).await
}

/// A query of rows of type `T`.
type RowsQuery<'q, T> = sqlx::query::QueryAs<'q, sqlx::Postgres, T, sqlx::postgres::PgArguments>;

fn bound<T: for<'r> FromRow<'r, PgRow>>(sql: &str, tenant: TenantId, span: Span) -> RowsQuery<'_, T> {
    sqlx::query_as(sql).bind(tenant.uuid()).bind(span.pipeline).bind(span.from).bind(span.to).bind(span.known)
}

fn names(movements: Option<&[Movement]>) -> Option<Vec<Named<Movement>>> {
    movements.map(|movements| movements.iter().copied().map(Named).collect())
}

impl<'r> FromRow<'r, PgRow> for DealMovement {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let before: Option<Uuid> = row.try_get("before_stage_id")?;
        Ok(Self {
            opportunity: row.try_get("opportunity_id")?,
            name: row.try_get("name")?,
            before: before.map(|_| deal(row, "before_")).transpose()?,
            after: deal(row, "")?,
            movements: row.try_get::<Vec<Named<Movement>>, _>("movements")?.into_iter().map(|named| named.0).collect(),
        })
    }
}

impl<'r> FromRow<'r, PgRow> for MovementSum {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let Named(movement) = row.try_get("movement")?;
        let Named(currency) = row.try_get("currency")?;
        let before: Option<Named<Currency>> = row.try_get("before_currency")?;
        Ok(Self {
            movement,
            count: row.try_get("count")?,
            after: (currency, sum(row, "minor")?),
            before: before
                .map(|Named(currency)| sum(row, "before_minor").map(|minor| (currency, minor)))
                .transpose()?,
        })
    }
}

fn sum(row: &PgRow, column: &str) -> Result<i128, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error| sqlx::Error::Decode(Box::<std::num::ParseIntError>::new(error)))
}

fn deal(row: &PgRow, prefix: &str) -> Result<Deal, sqlx::Error> {
    let column = |name: &str| format!("{prefix}{name}");
    let Named(status) = row.try_get(&*column("status"))?;
    let Named(currency): Named<Currency> = row.try_get(&*column("currency"))?;
    Ok(Deal {
        stage: row.try_get(&*column("stage_id"))?,
        status,
        amount: Money { minor: row.try_get(&*column("amount_minor"))?, currency },
        close_date: row.try_get(&*column("close_date"))?,
        owner: row.try_get(&*column("owner"))?,
    })
}
