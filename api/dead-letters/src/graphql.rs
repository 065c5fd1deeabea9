//! Dead letters in GraphQL: to look at. They are decided over REST, like everything.

mod loaders;

use chrono::{DateTime, Utc};
use deadletters::{Attempt, Decided, Letter, LetterId, Listing, State};
use face::connection;
use face::graphql::{BigInt, Context, Page, PageRequest, bad_argument, load, unreadable};
use juniper::{FieldResult, GraphQLEnum, GraphQLObject, graphql_object};
use kernel::{RecordedEvent, Service};
use uuid::Uuid;

use self::loaders::{Attempts, Decisions, Events};

/// What all questions need, in each service.
const READ: &str = "dead_letter:read";

/// Events that a consumer could not take.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadLettersQuery;

/// How a dead letter stands.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
#[graphql(name = "DeadLetterState")]
pub enum DeadLetterState {
    /// It can't be taken, and is tried again.
    Parked,
    /// Nothing is wrong with it but that it follows one that is parked; such are counted there, and not listed.
    Waiting,
    /// It was parked, and taken at last.
    Applied,
    /// It was parked, and somebody decided that its consumer never sees it.
    Discarded,
}

/// Events that a consumer could not take.
#[graphql_object(context = Context)]
impl DeadLettersQuery {
    /// Dead letters that stand so, `PARKED` if it is left out, the last event first. Of one service, or of all in which the caller has the permission `<service>:dead_letter:read`, which all questions here need.
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
        let listing = Listing {
            consumer: consumer.map(|consumer| read("consumer", &consumer)).transpose()?,
            state: match state.unwrap_or(DeadLetterState::Parked) {
                DeadLetterState::Parked => State::Parked,
                DeadLetterState::Applied => State::Applied,
                DeadLetterState::Discarded => State::Discarded,
                DeadLetterState::Waiting => {
                    return Err(bad_argument(
                        "state",
                        "allowed are PARKED, APPLIED and DISCARDED; what waits is counted",
                    ));
                }
            },
            after: request.after.as_deref().map(|after| read("after", after)).transpose()?,
            limit: request.first + 1,
        };
        let mut found = Vec::new();
        for &service in &services {
            let mut tables = context.reader(service).await?;
            let letters = Letter::list(&mut tables, context.caller().tenant(), &listing).await.map_err(unreadable)?;
            found.extend(letters.into_iter().map(|letter| (service, letter)));
        }
        // In the order of each service's list. A consumer is of one service, so no two letters have the same place in it.
        found.sort_by(|(_, a), (_, b)| {
            let place = |letter: &Letter| (letter.id.position, letter.id.consumer.as_str().to_owned());
            place(b).cmp(&place(a))
        });
        let page = Page::new(&request, ORDER, found, |(_, letter)| letter.id.to_string());
        let page = page.map(|(service, letter)| DeadLetter { service, letter });
        Ok(Some(DeadLetterConnection::new(page, Wanted { services, listing })))
    }

    /// The dead letter with this id, such as `projection.leads.1234`; also one that only waits.
    async fn letter(context: &Context, service: Option<String>, id: String) -> FieldResult<Option<DeadLetter>> {
        let services = context.permitted(service.as_deref(), READ)?;
        let id: LetterId = read("id", &id)?;
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

/// Which dead letters are listed, and of which services.
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

/// An argument of a form of its own.
fn read<T: std::str::FromStr<Err = String>>(argument: &str, text: &str) -> FieldResult<T> {
    text.parse().map_err(|what: String| bad_argument(argument, &what))
}

/// An event that a consumer could not take.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    service: Service,
    letter: Letter,
}

/// An event that a consumer could not take.
#[graphql_object(context = Context, name = "DeadLetter")]
impl DeadLetter {
    /// The service whose it is.
    fn service(&self) -> &str {
        self.service.name()
    }

    /// Its id: consumer and position.
    fn id(&self) -> String {
        self.letter.id.to_string()
    }

    /// Who could not take it: kind and name.
    fn consumer(&self) -> String {
        self.letter.id.consumer.to_string()
    }

    /// Where the event stands in the service's log.
    fn position(&self) -> BigInt {
        BigInt(self.letter.id.position.0.into())
    }

    /// The aggregate's type.
    fn aggregate_type(&self) -> &str {
        &self.letter.aggregate_type
    }

    /// The aggregate's id.
    fn aggregate_id(&self) -> &str {
        &self.letter.aggregate_id
    }

    /// The event's name.
    fn event_type(&self) -> &str {
        &self.letter.event_type
    }

    /// How it stands.
    fn state(&self) -> DeadLetterState {
        match self.letter.state {
            State::Parked => DeadLetterState::Parked,
            State::Waiting => DeadLetterState::Waiting,
            State::Applied => DeadLetterState::Applied,
            State::Discarded => DeadLetterState::Discarded,
        }
    }

    /// How often it was tried.
    fn attempts(&self) -> i32 {
        int(self.letter.attempts.into())
    }

    /// Why the last attempt that failed did, the outermost reason first.
    fn errors(&self) -> Vec<String> {
        self.letter.errors.clone()
    }

    /// When it is tried again by itself.
    fn next_attempt_at(&self) -> Option<DateTime<Utc>> {
        self.letter.next_attempt_at
    }

    /// When it was parked.
    fn parked_at(&self) -> DateTime<Utc> {
        self.letter.parked_at
    }

    /// When that changed last.
    fn changed_at(&self) -> DateTime<Utc> {
        self.letter.changed_at
    }

    /// How many later events of its aggregate wait behind it; at most 10,000 are counted.
    fn waiting(&self) -> i32 {
        int(self.letter.waiting)
    }

    /// The event as the log has it.
    async fn event(&self, context: &Context) -> FieldResult<Option<DeadLetterEvent>> {
        load::<Events>(context, self.service, self.letter.id.position).await
    }

    /// The attempts that are kept, 20 at most, the last one first.
    async fn attempts_made(&self, context: &Context) -> FieldResult<Vec<DeadLetterAttempt>> {
        Ok(load::<Attempts>(context, self.service, self.letter.id.clone()).await?.unwrap_or_default())
    }

    /// What was decided, the last decision first.
    async fn decisions(&self, context: &Context) -> FieldResult<Vec<DeadLetterDecision>> {
        Ok(load::<Decisions>(context, self.service, self.letter.id.clone()).await?.unwrap_or_default())
    }
}

/// An event that a consumer could not take, as the log has it.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DeadLetterEvent {
    /// Its id.
    id: Uuid,
    /// Its number within its aggregate.
    sequence: BigInt,
    /// The version of its form.
    version: i32,
    /// Its payload as it is stored, as JSON: what tells who people are is sealed in it. (REST opens it.)
    payload: String,
    /// Its metadata, as JSON.
    metadata: String,
    /// When it happened.
    occurred_at: DateTime<Utc>,
    /// When the log took it.
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

/// An attempt to take an event again.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DeadLetterAttempt {
    /// Which one, from 1.
    nth: i32,
    /// When.
    at: DateTime<Utc>,
    /// Why it failed, the outermost reason first; none: it did not.
    errors: Vec<String>,
}

impl From<Attempt> for DeadLetterAttempt {
    fn from(one: Attempt) -> Self {
        Self { nth: int(one.attempt.into()), at: one.at, errors: one.errors }
    }
}

/// What somebody decided about an event that a consumer could not take.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DeadLetterDecision {
    /// `redrive`, `edit` or `discard`.
    kind: String,
    /// Who: the subject of their token.
    actor: String,
    /// Why.
    reason: String,
    /// When.
    decided_at: DateTime<Utc>,
    /// Of an edit: the payload as the consumer saw it until then, as JSON, with what tells who people are sealed. (REST opens it.)
    before: Option<String>,
    /// Of an edit: the payload as it sees it since; the same.
    after: Option<String>,
}

impl From<Decided> for DeadLetterDecision {
    fn from(one: Decided) -> Self {
        let Decided { kind, actor, reason, decided_at, before, after } = one;
        Self { kind, actor, reason, decided_at, before, after }
    }
}

fn int(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
