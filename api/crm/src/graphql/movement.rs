//! Changes in a pipeline between two points in time, in GraphQL.

use chrono::{DateTime, NaiveDate, Utc};
use crm_projections::AsOf;
use crm_projections::currencies::{Exchange, exchange};
use crm_projections::opportunities::{self, Deal, DealMovement, Movement, MovementSum, Span};
use crm_projections::pipelines;
use face::graphql::{Context, Node, Page, PageRequest, forward, int, unreadable};
use face::{connection, mirror};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::money::Money;
use super::opportunity::{Opportunity, OpportunityStatus, READ};
use crate::SERVICE;

mirror! {
    /// A kind of change of a deal. One deal can have changed in several ways.
    pub enum MovementKind of Movement {
        /// It was opened.
        Opened,
        /// It was won.
        Won,
        /// It was lost.
        Lost,
        /// It had been closed, and was reopened.
        Reopened,
        /// It moved to another stage.
        StageChanged,
        /// Its amount increased.
        Grown,
        /// Its amount decreased.
        Shrunk,
        /// The currency of its amount changed.
        CurrencyChanged,
        /// Its expected close date moved to a later day.
        Slipped,
        /// Its expected close date moved to an earlier day.
        PulledIn,
        /// It was assigned to another user.
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

/// Changes in a pipeline between two points in time: the differences between the states of its deals at the beginning and at
/// the end.
pub struct PipelineMovement(Span);

/// The total of the deals with one kind of change.
#[derive(Clone, Debug, GraphQLObject)]
pub struct MovementTotal {
    /// The kind of change.
    kind: MovementKind,
    /// Number of deals.
    count: i32,
    /// The sum of their amounts at the end, in the base currency and at the exchange rates of the end. Deals in currencies
    /// without a rate are only counted.
    total: Money,
    /// By how much their amounts have increased since the beginning; negative if they decreased. New deals count with their
    /// whole amount. Deals that are or were in a currency without a rate are not included.
    difference: Money,
}

/// The state of a deal at a point in time.
#[derive(Clone, Debug, GraphQLObject)]
pub struct DealState {
    /// Its stage.
    stage_id: Uuid,
    /// Its status.
    status: OpportunityStatus,
    /// Its amount.
    amount: Money,
    /// Its expected close date.
    close_date: NaiveDate,
    /// The responsible user, as the subject of their token.
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

/// A deal that changed.
#[derive(Clone, Debug)]
pub struct MovedDeal(DealMovement);

/// A deal that changed.
#[graphql_object(context = Context)]
impl MovedDeal {
    /// The opportunity's id.
    fn opportunity_id(&self) -> Uuid {
        self.0.opportunity
    }

    /// Its current name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The kinds of change.
    fn kinds(&self) -> Vec<MovementKind> {
        self.0.movements.iter().copied().map(Into::into).collect()
    }

    /// Its state at the beginning; `null` if it did not exist then.
    fn before(&self) -> Option<DealState> {
        self.0.before.as_ref().map(DealState::from)
    }

    /// Its state at the end.
    fn after(&self) -> DealState {
        DealState::from(&self.0.after)
    }

    /// The opportunity's current state.
    async fn opportunity(&self, context: &Context) -> FieldResult<Option<Opportunity>> {
        Opportunity::of(context, Some(self.0.opportunity)).await
    }
}

connection! {
    /// A page of deals that changed.
    pub struct MovedDealConnection of MovedDeal by MovedDealEdge in SERVICE, counted by count where Moved
}

/// The filter of a list of changed deals.
struct Moved {
    span: Span,
    kinds: Option<Vec<Movement>>,
}

async fn count(tables: &mut PgConnection, tenant: TenantId, of: &Moved) -> Result<i64, sqlx::Error> {
    opportunities::count_moved(tables, tenant, of.span, of.kinds.as_deref()).await
}

const ORDER: &str = "MOVED_DEALS";

/// Changes in a pipeline between two points in time: the differences between the states of its deals at the beginning and at
/// the end.
#[graphql_object(context = Context)]
impl PipelineMovement {
    /// Totals for each kind of change. Kinds without any deal are omitted.
    async fn totals(&self, context: &Context) -> FieldResult<Vec<MovementTotal>> {
        let mut tables = context.reader(SERVICE).await?;
        let tenant = context.caller().tenant();
        let sums = opportunities::movement_sums(&mut tables, tenant, self.0).await.map_err(unreadable)?;
        let end = AsOf { at: self.0.to, known: self.0.known };
        let exchange = exchange(&mut tables, tenant, end).await.map_err(unreadable)?;
        Ok(KINDS.into_iter().filter_map(|kind| total(kind, &sums, &exchange)).collect())
    }

    /// The deals that changed, limited to these kinds of change if `kinds` is given.
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

/// The totals of one kind of change, in the base currency; none if no deal changed in this way.
fn total(kind: Movement, sums: &[MovementSum], exchange: &Exchange) -> Option<MovementTotal> {
    let worth = |(currency, minor)| exchange.to_base(minor, currency);
    let (mut count, mut total, mut difference) = (0_i64, 0_i128, 0_i128);
    for sum in sums.iter().filter(|sum| sum.movement == kind) {
        count += sum.count;
        let Some(after) = worth(sum.after) else { continue };
        total = total.saturating_add(after);
        // If the former amount can't be converted, the sum is left out of the difference: its value is unknown, not 0.
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
    AsOf { at: to, known }: AsOf,
) -> FieldResult<Option<PipelineMovement>> {
    context.require(READ)?;
    forward(("from", Some(from)), ("to", to))?;
    let mut tables = context.reader(SERVICE).await?;
    let found = pipelines::find(&mut tables, context.caller().tenant(), &[pipeline]).await.map_err(unreadable)?;
    Ok((!found.is_empty()).then_some(PipelineMovement(Span { pipeline, from, to, known })))
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
