//! The pipeline board: for each stage the number of open deals, their value, and the value weighted by the probability of winning.

use kernel::{Currency, TenantId};
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use crate::currencies::{Exchange, exchange, percentage};
use crate::pipelines::{self, PipelineRow, StageView};
use folding::as_of::AsOf;
use folding::named::Named;

/// A pipeline's open deals as of a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// The pipeline's id.
    pub pipeline: Uuid,
    /// Its name at that moment.
    pub name: String,
    /// The moment.
    pub as_of: AsOf,
    /// The currency of `base_minor` and `weighted_minor`: the base currency at that moment.
    pub base: Currency,
    /// The stages at that moment, in their order. Then stages that were added later but have deals that are dated before that.
    pub stages: Vec<BoardStage>,
    /// Currencies without an exchange rate. Their sums are not included in `base_minor`.
    pub unconverted: Vec<Currency>,
}

/// A column of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardStage {
    /// The stage as it was at that moment.
    pub stage: StageView,
    /// The number of deals in it.
    pub count: i64,
    /// The number of rotten deals: nothing happened to them for as many days as the stage allows.
    pub rotten: i64,
    /// Their value, by currency.
    pub sums: Vec<StageSum>,
    /// Their total value in minor units of the base currency, by the exchange rates at that moment.
    pub base_minor: i128,
    /// `base_minor` times the stage's probability at that moment.
    pub weighted_minor: i128,
}

/// The value of a stage's deals in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSum {
    /// The stage's id.
    pub stage: Uuid,
    /// The currency.
    pub currency: Currency,
    /// The number of deals.
    pub count: i64,
    /// The number of rotten deals.
    pub rotten: i64,
    /// Their sum in minor units.
    pub minor: i128,
}

/// The board of a pipeline as of a moment; `None` if there is no such pipeline.
pub async fn board(
    tables: &mut PgConnection,
    tenant: TenantId,
    pipeline: Uuid,
    as_of: AsOf,
) -> Result<Option<Board>, sqlx::Error> {
    let Some(then) = pipelines::as_of(tables, tenant, pipeline, as_of).await? else { return Ok(None) };
    let sums = sums(tables, tenant, &then, as_of).await?;
    let all_there = sums.iter().all(|sum| then.stage(sum.stage).is_some());
    let versions = if all_there { Vec::new() } else { pipelines::versions(tables, tenant, pipeline).await? };
    let exchange = exchange(tables, tenant, as_of).await?;
    Ok(Some(assemble(&then, &versions, sums, &exchange, as_of)))
}

/// Builds a board. Stages that the pipeline did not have at that moment (`then`) are taken from `versions`.
pub fn assemble(
    then: &PipelineRow,
    versions: &[PipelineRow],
    mut sums: Vec<StageSum>,
    exchange: &Exchange,
    as_of: AsOf,
) -> Board {
    sums.sort_by_key(|sum| (sum.stage, sum.currency));
    let mut views = then.stages.0.clone();
    for sum in &sums {
        if views.iter().all(|view| view.stage.id.uuid() != sum.stage) {
            views.extend(versions.iter().find_map(|version| version.stage(sum.stage)).cloned());
        }
    }
    let mut unconverted: Vec<Currency> = Vec::new();
    let mut column = |view: StageView| {
        let sums: Vec<_> = sums.iter().filter(|sum| sum.stage == view.stage.id.uuid()).cloned().collect();
        let mut base_minor = 0_i128;
        for sum in &sums {
            match exchange.to_base(sum.minor, sum.currency) {
                Some(minor) => base_minor = base_minor.saturating_add(minor),
                None => unconverted.push(sum.currency),
            }
        }
        let weighted_minor = percentage(base_minor, view.stage.probability);
        let (count, rotten) = sums.iter().fold((0, 0), |(count, rotten), sum| (count + sum.count, rotten + sum.rotten));
        BoardStage { stage: view, count, rotten, sums, base_minor, weighted_minor }
    };
    let stages = views.into_iter().map(&mut column).collect();
    unconverted.sort_unstable();
    unconverted.dedup();
    Board { pipeline: then.pipeline_id, name: then.name.clone(), as_of, base: exchange.base(), stages, unconverted }
}

/// The value of a pipeline's open deals by stage and currency. Sums are read as text, because a tenant's largest amounts may add up to more
/// than a bigint. A deal rots from the beginning of its version, which is when something last happened to it.
async fn sums(
    tables: &mut PgConnection,
    tenant: TenantId,
    then: &PipelineRow,
    as_of: AsOf,
) -> Result<Vec<StageSum>, sqlx::Error> {
    let patience = then.stages.0.iter().map(|view| (view.stage.id.uuid(), view.stage.rotten_after_days.map(i32::from)));
    let (stages, days): (Vec<Uuid>, Vec<Option<i32>>) = patience.unzip();
    let sql = format!(
        "SELECT stage_id, currency, count(*) AS count, sum(amount_minor)::text AS minor,
                count(*) FILTER (
                    WHERE valid_from <= coalesce($2::timestamptz, now()) - make_interval(hours => 24 * patience.days)
                ) AS rotten
         FROM opportunity_history LEFT JOIN unnest($5::uuid[], $6::int[]) AS patience (stage, days) ON stage = stage_id
         WHERE tenant_id = $1 AND {} AND pipeline_id = $4 AND status = 'open'
         GROUP BY stage_id, currency",
        as_of.condition()
    );
    sqlx::query_as(&sql)
        .bind(tenant.uuid())
        .bind(as_of.at)
        .bind(as_of.known)
        .bind(then.pipeline_id)
        .bind(stages)
        .bind(days)
        .fetch_all(tables)
        .await
}

impl<'r> FromRow<'r, sqlx::postgres::PgRow> for StageSum {
    fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let Named(currency) = row.try_get("currency")?;
        let minor: &str = row.try_get("minor")?;
        Ok(Self {
            stage: row.try_get("stage_id")?,
            currency,
            count: row.try_get("count")?,
            rotten: row.try_get("rotten")?,
            minor: minor.parse().map_err(|error| sqlx::Error::Decode(Box::<std::num::ParseIntError>::new(error)))?,
        })
    }
}
