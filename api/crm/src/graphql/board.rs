//! The pipeline board in GraphQL.

use chrono::{DateTime, Utc};
use crm_projections::AsOf;
use crm_projections::opportunities::{self, Board, BoardStage};
use face::graphql::{Context, int, unreadable};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use uuid::Uuid;

use super::money::Money;
use super::opportunity::READ;
use super::pipeline::Stage;
use crate::SERVICE;

/// A pipeline's open deals at a point in time. Stages, probabilities and exchange rates are those of that time.
#[derive(Clone, Debug)]
pub struct PipelineBoard(Board);

/// A column of the board.
#[derive(Clone, Debug, GraphQLObject)]
pub struct PipelineBoardStage {
    /// The stage, as it was at that time.
    stage: Stage,
    /// Number of deals in the stage.
    count: i32,
    /// Number of rotten deals: those that had not changed for the number of days that the stage allowed at that time
    /// (`rottenAfterDays`).
    rotten: i32,
    /// The sum of their amounts in each currency.
    sums: Vec<Money>,
    /// The sum of their amounts, converted to the base currency.
    total: Money,
    /// The total multiplied by the stage's probability.
    weighted: Money,
}

/// A pipeline's open deals at a point in time. Stages, probabilities and exchange rates are those of that time.
#[graphql_object(context = Context)]
impl PipelineBoard {
    /// The pipeline's id.
    fn pipeline_id(&self) -> Uuid {
        self.0.pipeline
    }

    /// The pipeline's name at that time.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The point in time that the board shows; `null`: now.
    fn as_of(&self) -> Option<DateTime<Utc>> {
        self.0.as_of.at
    }

    /// Only events that were recorded until this time are considered; `null`: all events.
    fn known_at(&self) -> Option<DateTime<Utc>> {
        self.0.as_of.known
    }

    /// The tenant's base currency at that time: ISO 4217 currency code.
    fn base_currency(&self) -> &str {
        self.0.base.code()
    }

    /// The columns (stages), in order.
    fn stages(&self) -> Vec<PipelineBoardStage> {
        self.0.stages.iter().map(|stage| self.column(stage)).collect()
    }

    /// Number of deals on the board.
    fn count(&self) -> i32 {
        int(self.0.stages.iter().map(|stage| stage.count).sum())
    }

    /// Number of rotten deals on the board: see `stages`.
    fn rotten(&self) -> i32 {
        int(self.0.stages.iter().map(|stage| stage.rotten).sum())
    }

    /// The sum of their amounts, converted to the base currency.
    fn total(&self) -> Money {
        self.sum(|stage| stage.base_minor)
    }

    /// The sum of the stages' weighted totals, in the base currency.
    fn weighted(&self) -> Money {
        self.sum(|stage| stage.weighted_minor)
    }

    /// Currencies without an exchange rate at that time. Deals in these currencies are counted but are not part of any total.
    fn unconverted(&self) -> Vec<&str> {
        self.0.unconverted.iter().map(kernel::Currency::code).collect()
    }
}

impl PipelineBoard {
    fn column(&self, column: &BoardStage) -> PipelineBoardStage {
        PipelineBoardStage {
            stage: Stage::from(&column.stage),
            count: int(column.count),
            rotten: int(column.rotten),
            sums: column.sums.iter().map(|sum| Money::new(sum.minor, sum.currency)).collect(),
            total: Money::new(column.base_minor, self.0.base),
            weighted: Money::new(column.weighted_minor, self.0.base),
        }
    }

    fn sum(&self, minor: impl Fn(&BoardStage) -> i128) -> Money {
        Money::new(self.0.stages.iter().map(minor).fold(0, i128::saturating_add), self.0.base)
    }
}

pub(crate) async fn board(context: &Context, pipeline: Uuid, as_of: AsOf) -> FieldResult<Option<PipelineBoard>> {
    context.require(READ)?;
    let mut tables = context.reader(SERVICE).await?;
    let board = opportunities::board(&mut tables, context.caller().tenant(), pipeline, as_of).await;
    Ok(board.map_err(unreadable)?.map(PipelineBoard))
}
