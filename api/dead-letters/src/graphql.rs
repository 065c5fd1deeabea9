//! Dead letters in GraphQL: to look at. They are decided over REST, like everything.

use chrono::{DateTime, Utc};
use deadletters::{Letter, LetterId, Listing, State};
use face::connection;
use face::graphql::{BigInt, Context, Page, PageRequest, bad_argument, refuse};
use juniper::{FieldError, FieldResult, GraphQLEnum, GraphQLObject, graphql_object};
use kernel::{Refusal, Service};

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
        let page = page.map(|(service, letter)| DeadLetter::of(service, letter));
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
                return Ok(Some(DeadLetter::of(service, letter)));
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
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DeadLetter {
    /// The service whose it is.
    service: String,
    /// Its id: consumer and position.
    id: String,
    /// Who could not take it: kind and name.
    consumer: String,
    /// Where the event stands in the service's log.
    position: BigInt,
    /// The aggregate's type.
    aggregate_type: String,
    /// The aggregate's id.
    aggregate_id: String,
    /// The event's name.
    event_type: String,
    /// How it stands.
    state: DeadLetterState,
    /// How often it was tried.
    attempts: i32,
    /// Why the last attempt that failed did, the outermost reason first.
    errors: Vec<String>,
    /// When it is tried again by itself.
    next_attempt_at: Option<DateTime<Utc>>,
    /// When it was parked.
    parked_at: DateTime<Utc>,
    /// When that changed last.
    changed_at: DateTime<Utc>,
    /// How many later events of its aggregate wait behind it; at most 10,000 are counted.
    waiting: i32,
}

impl DeadLetter {
    fn of(service: Service, one: Letter) -> Self {
        let int = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        Self {
            service: service.name().to_owned(),
            id: one.id.to_string(),
            consumer: one.id.consumer.to_string(),
            position: BigInt(one.id.position.0.into()),
            aggregate_type: one.aggregate_type,
            aggregate_id: one.aggregate_id,
            event_type: one.event_type,
            state: match one.state {
                State::Parked => DeadLetterState::Parked,
                State::Waiting => DeadLetterState::Waiting,
                State::Applied => DeadLetterState::Applied,
                State::Discarded => DeadLetterState::Discarded,
            },
            attempts: int(one.attempts.into()),
            errors: one.errors,
            next_attempt_at: one.next_attempt_at,
            parked_at: one.parked_at,
            changed_at: one.changed_at,
            waiting: int(one.waiting),
        }
    }
}

fn unreadable(error: sqlx::Error) -> FieldError {
    tracing::error!(%error, "dead letters can't be read");
    refuse(Refusal::internal("read_failed", "the dead letters can't be read; the log says why"))
}
