//! Webhooks in GraphQL, read-only: they are changed over REST.

use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{BigInt, Context, Fetch, Fetching, Page, PageRequest, Session, keyed, load, unreadable};
use juniper::{FieldResult, GraphQLEnum, GraphQLObject, graphql_object};
use kernel::Service;
use sqlx::PgConnection;
use uuid::Uuid;
use webhooks::{Delivery, Endpoint, READ, State};

/// Webhooks, which deliver the events of all services to other systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventsQuery;

/// Webhooks, which deliver the events of all services to other systems.
#[graphql_object(context = Context)]
impl EventsQuery {
    /// All webhooks, those of each service oldest first.
    async fn webhooks(context: &Context) -> FieldResult<Option<Vec<Webhook>>> {
        context.require(READ)?;
        let mut all = Vec::new();
        for service in context.services() {
            let mut tables = context.reader(service).await?;
            let found = Endpoint::list(&mut tables, context.caller().tenant()).await.map_err(unreadable)?;
            all.extend(found.into_iter().map(|endpoint| Webhook { service, endpoint }));
        }
        Ok(Some(all))
    }

    /// The webhook with this id.
    async fn webhook(context: &Context, id: Uuid) -> FieldResult<Option<Webhook>> {
        context.require(READ)?;
        for service in context.services() {
            let mut tables = context.reader(service).await?;
            let found = Endpoint::find(&mut tables, context.caller().tenant(), id).await.map_err(unreadable)?;
            if let Some(endpoint) = found {
                return Ok(Some(Webhook { service, endpoint }));
            }
        }
        Ok(None)
    }
}

/// The state of a webhook.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum WebhookState {
    /// Events are sent.
    Enabled,
    /// Events are sent, but the last delivery attempt failed.
    Failing,
    /// No events are sent.
    Disabled,
}

/// A URL to which events are delivered.
#[derive(Clone, Debug)]
pub struct Webhook {
    service: Service,
    endpoint: Endpoint,
}

/// A URL to which events are delivered.
#[graphql_object(context = Context)]
impl Webhook {
    /// Its id.
    fn id(&self) -> Uuid {
        self.endpoint.id
    }

    /// Its version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.endpoint.version)
    }

    /// The service whose events are sent.
    fn service(&self) -> &str {
        self.service.name()
    }

    /// The URL to which events are sent.
    fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// The types of events that are sent, as names or patterns such as `crm.lead.*`. Empty: all types.
    fn types(&self) -> &[String] {
        self.endpoint.types.as_slice()
    }

    /// Its purpose, as free text.
    fn description(&self) -> &str {
        &self.endpoint.description
    }

    /// Its state.
    fn state(&self) -> WebhookState {
        match self.endpoint.state {
            State::Enabled => WebhookState::Enabled,
            State::Failing => WebhookState::Failing,
            State::Disabled { .. } => WebhookState::Disabled,
        }
    }

    /// Why it is disabled.
    fn disabled_reason(&self) -> Option<&str> {
        match &self.endpoint.state {
            State::Disabled { reason } => Some(reason),
            State::Enabled | State::Failing => None,
        }
    }

    /// The position in the service's log up to which all events were delivered or did not match `types`.
    fn position(&self) -> BigInt {
        BigInt(self.endpoint.position.0.into())
    }

    /// Number of positions of the log that were not processed yet.
    fn lag_events(&self) -> BigInt {
        BigInt(self.endpoint.lag().into())
    }

    /// Number of events that were delivered.
    fn delivered(&self) -> BigInt {
        BigInt(self.endpoint.delivered.into())
    }

    /// Number of failed attempts to deliver the next event.
    fn attempts(&self) -> i32 {
        int(self.endpoint.attempts.into())
    }

    /// Since when deliveries have been failing.
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        self.endpoint.failing_since
    }

    /// When the next attempt is made.
    fn next_attempt_at(&self) -> Option<DateTime<Utc>> {
        self.endpoint.next_attempt_at
    }

    /// When it was created.
    fn created_at(&self) -> DateTime<Utc> {
        self.endpoint.created_at
    }

    /// When it was last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.endpoint.changed_at
    }

    /// Delivery attempts, most recent first. The last 1,000 are kept.
    async fn deliveries(
        &self,
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<WebhookDeliveryConnection> {
        const ORDER: &str = "WEBHOOK_DELIVERIES_LAST";
        let request = PageRequest::new(first, after.as_deref(), ORDER)?;
        let Self { service, endpoint } = self;
        let found = load::<Deliveries>(context, *service, (endpoint.id, request.after, request.first + 1)).await?;
        let page = Page::new(&request, ORDER, found.unwrap_or_default(), |delivery| delivery.id);
        Ok(WebhookDeliveryConnection::new(page, (*service, endpoint.id)))
    }
}

async fn count(context: &Context, (service, webhook): &(Service, Uuid)) -> FieldResult<i64> {
    Ok(load::<DeliveryCounts>(context, *service, *webhook).await?.unwrap_or_default())
}

/// Loads delivery attempts of several webhooks: for each, those before a given one, up to a number.
struct Deliveries;

impl Fetch for Deliveries {
    type Key = (Uuid, Option<Uuid>, u32);
    type Value = Vec<WebhookDelivery>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let lists = Delivery::lists(tables, tenant, keys).await?;
            Ok(keyed(keys, lists, WebhookDelivery::from))
        })
    }
}

/// Counts the stored delivery attempts of several webhooks.
struct DeliveryCounts;

impl Fetch for DeliveryCounts {
    type Key = Uuid;
    type Value = i64;

    fn fetch<'a>(session: &'a Session, tables: &'a mut PgConnection, keys: &'a [Uuid]) -> Fetching<'a, Uuid, i64> {
        let tenant = session.caller().tenant();
        Box::pin(async move { Ok(Delivery::counts(tables, tenant, keys).await?.into_iter().collect()) })
    }
}

connection! {
    /// A page of a webhook's delivery attempts.
    pub struct WebhookDeliveryConnection of WebhookDelivery by WebhookDeliveryEdge, counted by count where (Service, Uuid)
}

/// One attempt to deliver one event.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct WebhookDelivery {
    /// Its id.
    id: Uuid,
    /// The header `webhook-id`: the event's id, the same in every attempt.
    webhook_id: Uuid,
    /// The event's type. A test message has the type `inopsio.webhook.ping`.
    event_type: String,
    /// The position of the event in the log.
    position: Option<BigInt>,
    /// The number of the attempt, counted from 1.
    attempt: i32,
    /// When the attempt was made.
    sent_at: DateTime<Utc>,
    /// The response time in milliseconds.
    duration_ms: i32,
    /// The HTTP status of the response.
    status: Option<i32>,
    /// The error; `null` if the event was delivered.
    error: Option<String>,
    /// The beginning of the response's body.
    response: String,
}

impl From<Delivery> for WebhookDelivery {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook_id: delivery.message_id,
            event_type: delivery.event_type,
            position: delivery.position.map(|position| BigInt(position.0.into())),
            attempt: int(delivery.attempt.into()),
            sent_at: delivery.sent_at,
            duration_ms: int(delivery.duration_ms),
            status: delivery.status.map(Into::into),
            error: delivery.error,
            response: delivery.response,
        }
    }
}

fn int(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
