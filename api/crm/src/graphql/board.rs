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

/// A pipeline's open deals, as of a moment: stages, probabilities and exchange rates are those of then.
#[derive(Clone, Debug)]
pub struct PipelineBoard(Board);

/// A column of the board.
#[derive(Clone, Debug, GraphQLObject)]
pub struct PipelineBoardStage {
    /// The stage, as it was then.
    stage: Stage,
    /// How many deals are in it.
    count: i32,
    /// To how many of them nothing happened for as many days as the stage allowed then (`rottenAfterDays`).
    rotten: i32,
    /// What they are worth, by currency.
    sums: Vec<Money>,
    /// What they are worth together, in the base currency.
    total: Money,
    /// The total times the stage's probability.
    weighted: Money,
}

/// A pipeline's open deals, as of a moment: stages, probabilities and exchange rates are those of then.
#[graphql_object(context = Context)]
impl PipelineBoard {
    /// The pipeline's id.
    fn pipeline_id(&self) -> Uuid {
        self.0.pipeline
    }

    /// The pipeline's name, then.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The moment that it shows; `null`: today.
    fn as_of(&self) -> Option<DateTime<Utc>> {
        self.0.as_of.at
    }

    /// As far as was known then; `null`: as known today.
    fn known_at(&self) -> Option<DateTime<Utc>> {
        self.0.as_of.known
    }

    /// The tenant's base currency, then: ISO 4217.
    fn base_currency(&self) -> &str {
        self.0.base.code()
    }

    /// The columns, in their order.
    fn stages(&self) -> Vec<PipelineBoardStage> {
        self.0.stages.iter().map(|stage| self.column(stage)).collect()
    }

    /// How many deals are on the board.
    fn count(&self) -> i32 {
        int(self.0.stages.iter().map(|stage| stage.count).sum())
    }

    /// How many of them are rotten: see `stages`.
    fn rotten(&self) -> i32 {
        int(self.0.stages.iter().map(|stage| stage.rotten).sum())
    }

    /// What they are worth together, in the base currency.
    fn total(&self) -> Money {
        self.sum(|stage| stage.base_minor)
    }

    /// What they are worth together, weighted.
    fn weighted(&self) -> Money {
        self.sum(|stage| stage.weighted_minor)
    }

    /// Currencies for which there was no rate: deals in them are counted, and are in no total.
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
