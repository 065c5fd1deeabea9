//! Dead letters in GraphQL, read-only: they are retried, edited and discarded over REST.

mod loaders;

use chrono::{DateTime, Utc};
use deadletters::{Attempt, Decided, Letter, LetterId, Listing, State};
use face::graphql::{BigInt, Context, Page, PageRequest, bad_argument, load, unreadable};
use face::{connection, mirror};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use kernel::{RecordedEvent, Service};
use uuid::Uuid;

use self::loaders::{Attempts, Decisions, Events};

/// The permission that every query here needs, in each service.
const READ: &str = "dead_letter:read";

/// Dead letters: events that a consumer could not process.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadLettersQuery;

mirror! {
    /// The state of a dead letter.
    pub enum DeadLetterState of State {
        /// The consumer can't process the event; it is retried.
        Parked,
        /// The event itself has no error, but follows a parked event of its aggregate. Such events are counted there and not listed.
        Waiting,
        /// The event was parked and has since been processed.
        Applied,
        /// The event was parked, and somebody decided that its consumer never sees it.
        Discarded,
    }
}

/// Dead letters: events that a consumer could not process. Read-only: they are retried, edited and discarded over REST.
#[graphql_object(context = Context)]
impl DeadLettersQuery {
    /// Dead letters in this state (default: `PARKED`), latest event first. From one service, or from all services in which the caller has
    /// the permission `<service>:dead_letter:read`. Every query here needs this permission.
    async fn letters(
        context: &Context,
        service: Option<String>,
        consumer: Option<String>,
        state: Option<DeadLetterState>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<DeadLetterConnection>> {
        const ORDER: &str = "DEAD_LETTERS_LAST";
        let services = context.permitted(service.as_deref(), READ)?;
        let request = PageRequest::<String>::new(first, after.as_deref(), ORDER)?;
        let state = state.unwrap_or(DeadLetterState::Parked);
        if state == DeadLetterState::Waiting {
            let allowed = "allowed are PARKED, APPLIED and DISCARDED; waiting events are counted, not listed";
            return Err(bad_argument("state", allowed));
        }
        let listing = Listing {
            consumer: consumer.map(|consumer| parse("consumer", &consumer)).transpose()?,
            state: state.into(),
            after: request.after.as_deref().map(|after| parse("after", after)).transpose()?,
            limit: request.first + 1,
        };
        let mut found = Vec::new();
        for &service in &services {
            let mut tables = context.reader(service).await?;
            let letters = Letter::list(&mut tables, context.caller().tenant(), &listing).await.map_err(unreadable)?;
            found.extend(letters.into_iter().map(|letter| (service, letter)));
        }
        // The same order as within each service's list. Each consumer belongs to one service, so no two letters have the same
        // position and consumer.
        found.sort_by(|(_, a), (_, b)| {
            let place = |letter: &Letter| (letter.id.position, letter.id.consumer.as_str().to_owned());
            place(b).cmp(&place(a))
        });
        let page = Page::new(&request, ORDER, found, |(_, letter)| letter.id.to_string());
        let page = page.map(|(service, letter)| DeadLetter { service, letter });
        Ok(Some(DeadLetterConnection::new(page, Wanted { services, listing })))
    }

    /// The dead letter with this id, such as `projection.leads.1234`. Also finds waiting ones.
    async fn letter(context: &Context, service: Option<String>, id: String) -> FieldResult<Option<DeadLetter>> {
        let services = context.permitted(service.as_deref(), READ)?;
        let id: LetterId = parse("id", &id)?;
        for service in services {
            let mut tables = context.reader(service).await?;
            let found = Letter::find(&mut tables, context.caller().tenant(), &id).await.map_err(unreadable)?;
            if let Some(letter) = found {
                return Ok(Some(DeadLetter { service, letter }));
            }
        }
        Ok(None)
    }
}

/// The filter of a list of dead letters, and the services that it covers.
#[derive(Clone, Debug)]
struct Wanted {
    services: Vec<Service>,
    listing: Listing,
}

async fn count(context: &Context, wanted: &Wanted) -> FieldResult<i64> {
    let mut all = 0;
    for &service in &wanted.services {
        let mut tables = context.reader(service).await?;
        all += Letter::count(&mut tables, context.caller().tenant(), &wanted.listing).await.map_err(unreadable)?;
    }
    Ok(all)
}

connection! {
    /// A page of dead letters.
    pub struct DeadLetterConnection of DeadLetter by DeadLetterEdge, counted by count where Wanted
}

/// Parses an argument that has its own format.
fn parse<T: std::str::FromStr<Err = String>>(argument: &str, text: &str) -> FieldResult<T> {
    text.parse().map_err(|what: String| bad_argument(argument, &what))
}

/// A dead letter: an event that a consumer could not process.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    service: Service,
    letter: Letter,
}

/// A dead letter: an event that a consumer could not process.
#[graphql_object(context = Context, name = "DeadLetter")]
impl DeadLetter {
    /// The service to which the event belongs.
    fn service(&self) -> &str {
        self.service.name()
    }

    /// The dead letter's id: the consumer and the event's position.
    fn id(&self) -> String {
        self.letter.id.to_string()
    }

    /// The consumer that could not process the event: its kind and name.
    fn consumer(&self) -> String {
        self.letter.id.consumer.to_string()
    }

    /// The event's position in the service's log.
    fn position(&self) -> BigInt {
        BigInt(self.letter.id.position.0.into())
    }

    /// The type of the event's aggregate.
    fn aggregate_type(&self) -> &str {
        &self.letter.aggregate_type
    }

    /// The id of the event's aggregate.
    fn aggregate_id(&self) -> &str {
        &self.letter.aggregate_id
    }

    /// The event's type.
    fn event_type(&self) -> &str {
        &self.letter.event_type
    }

    /// The dead letter's state.
    fn state(&self) -> DeadLetterState {
        self.letter.state.into()
    }

    /// Number of attempts so far.
    fn attempts(&self) -> i32 {
        int(self.letter.attempts.into())
    }

    /// Errors of the last failed attempt, outermost first.
    fn errors(&self) -> Vec<String> {
        self.letter.errors.clone()
    }

    /// When the next automatic retry is due.
    fn next_attempt_at(&self) -> Option<DateTime<Utc>> {
        self.letter.next_attempt_at
    }

    /// When the event was parked.
    fn parked_at(&self) -> DateTime<Utc> {
        self.letter.parked_at
    }

    /// When the dead letter last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.letter.changed_at
    }

    /// Number of later events of the same aggregate that wait behind this one. Counts at most 10,000.
    fn waiting(&self) -> i32 {
        int(self.letter.waiting)
    }

    /// The event as the log has it.
    async fn event(&self, context: &Context) -> FieldResult<Option<DeadLetterEvent>> {
        load::<Events>(context, self.service, self.letter.id.position).await
    }

    /// The last attempts, at most 20, latest first.
    async fn attempts_made(&self, context: &Context) -> FieldResult<Vec<DeadLetterAttempt>> {
        Ok(load::<Attempts>(context, self.service, self.letter.id.clone()).await?.unwrap_or_default())
    }

    /// The decisions about this dead letter, latest first.
    async fn decisions(&self, context: &Context) -> FieldResult<Vec<DeadLetterDecision>> {
        Ok(load::<Decisions>(context, self.service, self.letter.id.clone()).await?.unwrap_or_default())
    }
}

/// The event of a dead letter, as the log has it.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DeadLetterEvent {
    /// The event's id.
    id: Uuid,
    /// The event's sequence number in its aggregate.
    sequence: BigInt,
    /// The version of the event's schema.
    version: i32,
    /// The payload as it is stored, as JSON. Personal data in it is encrypted; the REST API returns it decrypted.
    payload: String,
    /// The metadata, as JSON.
    metadata: String,
    /// When the event happened.
    occurred_at: DateTime<Utc>,
    /// When the log recorded the event.
    recorded_at: DateTime<Utc>,
}

impl From<RecordedEvent> for DeadLetterEvent {
    fn from(event: RecordedEvent) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            id: event.event_id,
            sequence: BigInt(event.sequence.into()),
            version: int(event.event_version.into()),
            payload: text(&event.payload),
            metadata: text(&event.metadata),
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
        }
    }
}

/// An attempt to process the event again.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DeadLetterAttempt {
    /// The number of the attempt, from 1.
    nth: i32,
    /// When the attempt was made.
    at: DateTime<Utc>,
    /// Why it failed, outermost error first. Empty: it succeeded.
    errors: Vec<String>,
}

impl From<Attempt> for DeadLetterAttempt {
    fn from(one: Attempt) -> Self {
        Self { nth: int(one.attempt.into()), at: one.at, errors: one.errors }
    }
}

/// A decision about a dead letter.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DeadLetterDecision {
    /// The kind of decision: `redrive`, `edit` or `discard`.
    kind: String,
    /// Who decided: the subject of their token.
    actor: String,
    /// The reason that was given.
    reason: String,
    /// When it was decided.
    decided_at: DateTime<Utc>,
    /// For an edit: the payload that the consumer saw before, as JSON. Personal data in it is encrypted; the REST API returns it decrypted.
    before: Option<String>,
    /// For an edit: the payload that the consumer sees since, in the same form.
    after: Option<String>,
}

impl From<Decided> for DeadLetterDecision {
    fn from(one: Decided) -> Self {
        let Decided { kind, actor, reason, decided_at, before, after } = one;
        Self { kind: kind.as_str().to_owned(), actor, reason, decided_at, before, after }
    }
}

fn int(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
