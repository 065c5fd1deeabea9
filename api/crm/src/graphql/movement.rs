//! What moved in a pipeline between two moments, in GraphQL.

use chrono::{DateTime, NaiveDate, Utc};
use crm_projections::AsOf;
use crm_projections::currencies::{Exchange, exchange};
use crm_projections::opportunities::{self, Deal, DealMovement, Movement, MovementSum, Span};
use crm_projections::pipelines;
use face::connection;
use face::graphql::{Context, Node, Page, PageRequest, forward, int, unreadable};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::mirror::mirror;
use super::money::Money;
use super::opportunity::{Opportunity, OpportunityStatus, READ};
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
pub struct PipelineMovement(Span);

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
    /// By how much they are worth more (or less, below zero) than at the beginning; new ones by all they are worth. Deals that are or
    /// were in a currency without a rate are not in it.
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

/// A deal that moved.
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
        self.0.movements.iter().copied().map(Into::into).collect()
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

connection! {
    /// A page of deals that moved.
    pub struct MovedDealConnection of MovedDeal by MovedDealEdge in SERVICE, counted by count where Moved
}

/// Which deals a page is of.
struct Moved {
    span: Span,
    kinds: Option<Vec<Movement>>,
}

async fn count(tables: &mut PgConnection, tenant: TenantId, of: &Moved) -> Result<i64, sqlx::Error> {
    opportunities::count_moved(tables, tenant, of.span, of.kinds.as_deref()).await
}

const ORDER: &str = "MOVED_DEALS";

/// What moved in a pipeline between two moments: the difference of how its deals stood.
#[graphql_object(context = Context)]
impl PipelineMovement {
    /// How much moved in which way; ways in which nothing moved are left out.
    async fn totals(&self, context: &Context) -> FieldResult<Vec<MovementTotal>> {
        let mut tables = context.reader(SERVICE).await?;
        let tenant = context.caller().tenant();
        let sums = opportunities::movement_sums(&mut tables, tenant, self.0).await.map_err(unreadable)?;
        let end = AsOf { at: self.0.to, known: None };
        let exchange = exchange(&mut tables, tenant, end).await.map_err(unreadable)?;
        Ok(KINDS.into_iter().filter_map(|kind| total(kind, &sums, &exchange)).collect())
    }

    /// The deals that moved, in one of these ways or in any.
    async fn deals(
        &self,
        context: &Context,
        kinds: Option<Vec<MovementKind>>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<MovedDealConnection> {
        let request = PageRequest::<Uuid>::new(first, after.as_deref(), ORDER)?;
        let kinds: Option<Vec<Movement>> = kinds.map(|kinds| kinds.into_iter().map(Into::into).collect());
        let of = Moved { span: self.0, kinds };
        let mut tables = context.reader(SERVICE).await?;
        let tenant = context.caller().tenant();
        let (wanted, limit) = (of.kinds.as_deref(), request.limit());
        let deals = opportunities::moved(&mut tables, tenant, of.span, wanted, request.after, limit).await;
        let rows = deals.map_err(unreadable)?.into_iter().map(MovedDeal).collect();
        Ok(MovedDealConnection::new(Page::new(&request, ORDER, rows, |deal: &MovedDeal| deal.0.opportunity), of))
    }
}

/// All that moved in one way, in the base currency.
fn total(kind: Movement, sums: &[MovementSum], exchange: &Exchange) -> Option<MovementTotal> {
    let worth = |(currency, minor)| exchange.to_base(minor, currency);
    let (mut count, mut total, mut difference) = (0_i64, 0_i128, 0_i128);
    for sum in sums.iter().filter(|sum| sum.movement == kind) {
        count += sum.count;
        let Some(after) = worth(sum.after) else { continue };
        total = total.saturating_add(after);
        // What it was worth before is not nothing where nobody knows it.
        if let Some(before) = sum.before.map_or(Some(0), worth) {
            difference = difference.saturating_add(after.saturating_sub(before));
        }
    }
    let base = exchange.base();
    (count > 0).then(|| MovementTotal {
        kind: kind.into(),
        count: int(count),
        total: Money::new(total, base),
        difference: Money::new(difference, base),
    })
}

pub(crate) async fn movement(
    context: &Context,
    pipeline: Uuid,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
) -> FieldResult<Option<PipelineMovement>> {
    context.require(READ)?;
    forward(("from", Some(from)), ("to", to))?;
    let mut tables = context.reader(SERVICE).await?;
    let known = pipelines::find(&mut tables, context.caller().tenant(), &[pipeline]).await.map_err(unreadable)?;
    Ok((!known.is_empty()).then_some(PipelineMovement(Span { pipeline, from, to })))
}

#[cfg(test)]
mod tests {
    use crm_projections::currencies::Rate;
    use kernel::Currency;

    use super::*;

    #[test]
    fn a_deal_without_a_rate_is_counted_and_makes_no_difference() {
        let francs: Currency = "CHF".parse().unwrap();
        let rate = Rate { day: NaiveDate::default(), nanos: 500_000_000 };
        let exchange = Exchange::new(Currency::EUR, [(Currency::USD, Currency::EUR, rate)]);
        let sum = |before, after| MovementSum { movement: Movement::CurrencyChanged, count: 1, after, before };
        let sums = [
            sum(Some((Currency::USD, 1_000)), (Currency::EUR, 700)),
            sum(Some((francs, 1_000)), (Currency::EUR, 900)),
            sum(Some((Currency::EUR, 1_000)), (francs, 900)),
            sum(None, (Currency::EUR, 50)),
            MovementSum { movement: Movement::Grown, ..sum(None, (Currency::EUR, 1)) },
        ];
        let total = total(Movement::CurrencyChanged, &sums, &exchange).unwrap();
        assert_eq!(total.count, 4);
        assert_eq!(total.total, Money::new(700 + 900 + 50, Currency::EUR));
        assert_eq!(total.difference, Money::new(700 - 500 + 50, Currency::EUR), "no rate tells what francs are worth");
        assert!(super::total(Movement::Won, &sums, &exchange).is_none());
    }
}
