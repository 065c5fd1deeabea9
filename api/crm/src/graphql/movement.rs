//! What moved in a pipeline between two moments, in GraphQL.

use chrono::{DateTime, NaiveDate, Utc};
use crm_projections::AsOf;
use crm_projections::currencies::{Exchange, exchange};
use crm_projections::opportunities::{self, Deal, DealMovement, Movement};
use face::graphql::{Context, Page, PageRequest};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use uuid::Uuid;

use super::connection::PageInfo;
use super::mirror::mirror;
use super::money::Money;
use super::opportunity::{Opportunity, OpportunityStatus, READ};
use super::read::{int, unreadable};
use crate::SERVICE;

mirror! {
    /// A way in which a deal can move. One deal may have moved in several.
    pub enum MovementKind of Movement {
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
}

const KINDS: [Movement; 11] = [
    Movement::Opened,
    Movement::Won,
    Movement::Lost,
    Movement::Reopened,
    Movement::StageChanged,
    Movement::Grown,
    Movement::Shrunk,
    Movement::CurrencyChanged,
    Movement::Slipped,
    Movement::PulledIn,
    Movement::Reassigned,
];

/// What moved in a pipeline between two moments: the difference of how its deals stood.
pub struct PipelineMovement {
    deals: Vec<DealMovement>,
    exchange: Exchange,
}

/// The deals that moved in one way.
#[derive(Clone, Debug, GraphQLObject)]
pub struct MovementTotal {
    /// In which way.
    kind: MovementKind,
    /// How many deals.
    count: i32,
    /// What they are worth at the end, in the base currency, at the rates of the end. Deals in currencies without a rate
    /// are in the count only.
    total: Money,
    /// By how much they are worth more (or less, below zero) than at the beginning; new ones by all they are worth.
    difference: Money,
}

/// How a deal stood.
#[derive(Clone, Debug, GraphQLObject)]
pub struct DealState {
    /// Its stage.
    stage_id: Uuid,
    /// Open, won or lost.
    status: OpportunityStatus,
    /// What it was worth.
    amount: Money,
    /// When it was expected to close.
    close_date: NaiveDate,
    /// Who was responsible.
    owner: Option<String>,
}

impl From<&Deal> for DealState {
    fn from(deal: &Deal) -> Self {
        Self {
            stage_id: deal.stage,
            status: deal.status.into(),
            amount: deal.amount.into(),
            close_date: deal.close_date,
            owner: deal.owner.clone(),
        }
    }
}

/// A deal that moved.
#[derive(Clone, Debug)]
pub struct MovedDeal(DealMovement);

#[graphql_object(context = Context)]
impl MovedDeal {
    /// The opportunity's id.
    fn opportunity_id(&self) -> Uuid {
        self.0.opportunity
    }

    /// Its name today.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// In which ways it moved.
    fn kinds(&self) -> Vec<MovementKind> {
        self.0.movements().into_iter().map(Into::into).collect()
    }

    /// How it stood at the beginning; `null`: it was not there.
    fn before(&self) -> Option<DealState> {
        self.0.before.as_ref().map(DealState::from)
    }

    /// How it stood at the end.
    fn after(&self) -> DealState {
        DealState::from(&self.0.after)
    }

    /// The opportunity as it is today.
    async fn opportunity(&self, context: &Context) -> FieldResult<Option<Opportunity>> {
        Opportunity::of(context, Some(self.0.opportunity)).await
    }
}

/// A page of deals that moved.
#[derive(Clone, GraphQLObject)]
#[graphql(context = Context)]
pub struct MovedDealConnection {
    /// The rows with their cursors.
    edges: Vec<MovedDealEdge>,
    /// Where this page stands in the list.
    page_info: PageInfo,
    /// How many rows the whole list has.
    total_count: i32,
}

/// A row of a page.
#[derive(Clone, GraphQLObject)]
#[graphql(context = Context)]
pub struct MovedDealEdge {
    /// Where this row stands in the list.
    cursor: String,
    /// The row.
    node: MovedDeal,
}

const ORDER: &str = "MOVED_DEALS";

#[graphql_object(context = Context)]
impl PipelineMovement {
    /// How much moved in which way; ways in which nothing moved are left out.
    fn totals(&self) -> Vec<MovementTotal> {
        KINDS.into_iter().filter_map(|kind| self.of_kind(kind)).collect()
    }

    /// The deals that moved, in one of these ways or in any.
    fn deals(
        &self,
        kinds: Option<Vec<MovementKind>>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<MovedDealConnection> {
        let request = PageRequest::<Uuid>::new(first, after.as_deref(), ORDER)?;
        let kinds: Option<Vec<Movement>> = kinds.map(|kinds| kinds.into_iter().map(Into::into).collect());
        let wanted = |deal: &&DealMovement| {
            kinds.as_ref().is_none_or(|kinds| deal.movements().iter().any(|kind| kinds.contains(kind)))
        };
        let all: Vec<_> = self.deals.iter().filter(wanted).collect();
        // The deals are in the order of their ids.
        let begin = request.after.map_or(0, |after| all.partition_point(|deal| deal.opportunity <= after));
        let rows = all.iter().skip(begin).take(request.first as usize + 1).map(|deal| MovedDeal((*deal).clone()));
        let page = Page::new(&request, ORDER, rows.collect(), |deal: &MovedDeal| deal.0.opportunity);
        let page_info = PageInfo { has_next_page: page.has_next, end_cursor: page.end_cursor().map(str::to_owned) };
        let edge = |(cursor, node): (face::graphql::Cursor, _)| MovedDealEdge { cursor: cursor.into_string(), node };
        let total_count = int(all.len().try_into().unwrap_or(i64::MAX));
        Ok(MovedDealConnection { edges: page.rows.into_iter().map(edge).collect(), page_info, total_count })
    }
}

impl PipelineMovement {
    fn of_kind(&self, kind: Movement) -> Option<MovementTotal> {
        let (mut count, mut total, mut before) = (0_i64, 0_i128, 0_i128);
        for deal in self.deals.iter().filter(|deal| deal.movements().contains(&kind)) {
            count += 1;
            total = total.saturating_add(self.worth(Some(&deal.after)));
            before = before.saturating_add(self.worth(deal.before.as_ref()));
        }
        let base = self.exchange.base();
        (count > 0).then(|| MovementTotal {
            kind: kind.into(),
            count: int(count),
            total: Money::new(total, base),
            difference: Money::new(total.saturating_sub(before), base),
        })
    }

    fn worth(&self, deal: Option<&Deal>) -> i128 {
        deal.and_then(|deal| self.exchange.to_base(deal.amount.minor.into(), deal.amount.currency)).unwrap_or_default()
    }
}

pub(crate) async fn movement(
    context: &Context,
    pipeline: Uuid,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
) -> FieldResult<PipelineMovement> {
    context.require(READ)?;
    let mut tables = context.reader(SERVICE).await?;
    let tenant = context.caller().tenant();
    let deals = opportunities::movement(&mut tables, tenant, pipeline, from, to).await.map_err(unreadable)?;
    let exchange = exchange(&mut tables, tenant, AsOf { at: to, known: None }).await.map_err(unreadable)?;
    Ok(PipelineMovement { deals, exchange })
}
