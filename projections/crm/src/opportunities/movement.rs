//! What moved between two moments: which deals came, went, moved, shrank, slipped.

use chrono::{DateTime, NaiveDate, Utc};
use crm_aggregates::OpportunityStatus;
use kernel::{Currency, Money, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use crate::named::Named;

/// A deal that is not the same at the end as at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DealMovement {
    /// The opportunity's id.
    pub opportunity: Uuid,
    /// Its name today.
    pub name: String,
    /// How it stood at the beginning; `None`: it was not there.
    pub before: Option<Deal>,
    /// How it stood at the end.
    pub after: Deal,
}

/// How a deal stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deal {
    /// Its stage.
    pub stage: Uuid,
    /// Open, won or lost.
    pub status: OpportunityStatus,
    /// What it was worth.
    pub amount: Money,
    /// When it was expected to close.
    pub close_date: NaiveDate,
    /// Who was responsible.
    pub owner: Option<String>,
}

/// A way in which a deal can move. One deal may have moved in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Movement {
    /// It came into sight.
    Opened,
    /// It was won.
    Won,
    /// It was lost.
    Lost,
    /// It was closed, and is open again.
    Reopened,
    /// It stands in another stage.
    StageChanged,
    /// It is worth more.
    Grown,
    /// It is worth less.
    Shrunk,
    /// It is worth something in another currency.
    CurrencyChanged,
    /// It is expected to close later.
    Slipped,
    /// It is expected to close earlier.
    PulledIn,
    /// Another user is responsible.
    Reassigned,
}

impl DealMovement {
    /// In which ways it moved.
    pub fn movements(&self) -> Vec<Movement> {
        use Movement::{
            CurrencyChanged, Grown, Lost, Opened, PulledIn, Reassigned, Reopened, Shrunk, Slipped, StageChanged, Won,
        };
        let after = &self.after;
        let status = self.before.as_ref().map_or(OpportunityStatus::Open, |before| before.status);
        let closed = match (status, after.status) {
            (OpportunityStatus::Open | OpportunityStatus::Lost, OpportunityStatus::Won) => Some(Won),
            (OpportunityStatus::Open | OpportunityStatus::Won, OpportunityStatus::Lost) => Some(Lost),
            (OpportunityStatus::Won | OpportunityStatus::Lost, OpportunityStatus::Open) => Some(Reopened),
            _ => None,
        };
        let Some(before) = &self.before else { return [Some(Opened), closed].into_iter().flatten().collect() };
        let worth = match (before.amount, after.amount) {
            (was, is) if was.currency != is.currency => Some(CurrencyChanged),
            (was, is) if was.minor < is.minor => Some(Grown),
            (was, is) if was.minor > is.minor => Some(Shrunk),
            _ => None,
        };
        let date = match before.close_date.cmp(&after.close_date) {
            std::cmp::Ordering::Less => Some(Slipped),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(PulledIn),
        };
        let stage = (before.stage != after.stage).then_some(StageChanged);
        let owner = (before.owner != after.owner).then_some(Reassigned);
        [closed, stage, worth, date, owner].into_iter().flatten().collect()
    }
}

/// The versions within the time, and of each deal the last of them beside the one before the first of them.
const MOVEMENT: &str = "
    WITH moved AS (
        SELECT opportunity_id, min(version) AS first, max(version) AS last
        FROM opportunity_history
        WHERE tenant_id = $1 AND pipeline_id = $2 AND valid_from > $3 AND valid_from <= coalesce($4, 'infinity'::timestamptz)
        GROUP BY opportunity_id
    )
    SELECT moved.opportunity_id, o.name,
           a.stage_id, a.status, a.amount_minor, a.currency, a.close_date, a.owner,
           b.stage_id AS before_stage_id, b.status AS before_status, b.amount_minor AS before_amount_minor,
           b.currency AS before_currency, b.close_date AS before_close_date, b.owner AS before_owner
    FROM moved
    JOIN opportunity o ON o.tenant_id = $1 AND o.opportunity_id = moved.opportunity_id
    JOIN opportunity_history a
         ON a.tenant_id = $1 AND a.opportunity_id = moved.opportunity_id AND a.version = moved.last
    LEFT JOIN opportunity_history b
         ON b.tenant_id = $1 AND b.opportunity_id = moved.opportunity_id AND b.version = moved.first - 1
    ORDER BY moved.opportunity_id";

/// The deals of a pipeline that moved after `from` and until `to` (`None`: until now); those that are again as they were are left out.
pub async fn movement(
    tables: &mut PgConnection,
    tenant: TenantId,
    pipeline: Uuid,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
) -> Result<Vec<DealMovement>, sqlx::Error> {
    let mut deals: Vec<DealMovement> =
        sqlx::query_as(MOVEMENT).bind(tenant.uuid()).bind(pipeline).bind(from).bind(to).fetch_all(tables).await?;
    deals.retain(|deal| !deal.movements().is_empty());
    Ok(deals)
}

impl<'r> FromRow<'r, PgRow> for DealMovement {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let before: Option<Uuid> = row.try_get("before_stage_id")?;
        Ok(Self {
            opportunity: row.try_get("opportunity_id")?,
            name: row.try_get("name")?,
            before: before.map(|_| deal(row, "before_")).transpose()?,
            after: deal(row, "")?,
        })
    }
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
