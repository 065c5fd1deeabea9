//! Dead letters in GraphQL: to look at. They are decided over REST, like everything.

use chrono::{DateTime, Utc};
use deadletters::{Letter, LetterId, Listing, State};
use face::graphql::{Context, refuse};
use juniper::{FieldError, FieldResult, GraphQLEnum, GraphQLObject, graphql_object};
use kernel::Refusal;

/// Events that a consumer could not take.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadLettersQuery;

/// How a dead letter stands.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
#[graphql(name = "DeadLetterState")]
pub enum DeadLetterState {
    /// It can't be taken, and is tried again.
    Parked,
    /// It was parked, and taken at last.
    Applied,
    /// It was parked, and somebody decided that its consumer never sees it.
    Discarded,
}

#[graphql_object(context = Context)]
impl DeadLettersQuery {
    /// A service's dead letters, the last event first: at most 200, after the one with the id `after`. Needs the permission
    /// `<service>:dead_letter:read`.
    async fn letters(
        context: &Context,
        #[graphql(default = "crm".to_owned())] service: String,
        consumer: Option<String>,
        #[graphql(default = DeadLetterState::Parked)] state: DeadLetterState,
        after: Option<String>,
        #[graphql(default = 20)] first: i32,
    ) -> FieldResult<Vec<DeadLetter>> {
        let service = context.permitted(&service, "dead_letter:read")?;
        let Some(limit) = u32::try_from(first).ok().filter(|first| (1..=200).contains(first)) else {
            return Err(refuse(Refusal::invalid("page_size", format!("first: {first}; allowed are 1 to 200"))));
        };
        let invalid = |detail: String| refuse(Refusal::invalid("argument_invalid", detail));
        let listing = Listing {
            consumer: consumer.map(|consumer| consumer.parse()).transpose().map_err(invalid)?,
            state: match state {
                DeadLetterState::Parked => State::Parked,
                DeadLetterState::Applied => State::Applied,
                DeadLetterState::Discarded => State::Discarded,
            },
            after: after.map(|after| after.parse()).transpose().map_err(invalid)?,
            limit,
        };
        let mut tables = context.reader(service).await?;
        let found = Letter::list(&mut tables, context.caller().tenant(), &listing).await.map_err(unreadable)?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// The dead letter with this id, such as `projection.leads.1234`; also one that only waits.
    async fn letter(
        context: &Context,
        #[graphql(default = "crm".to_owned())] service: String,
        id: String,
    ) -> FieldResult<Option<DeadLetter>> {
        let service = context.permitted(&service, "dead_letter:read")?;
        let id: LetterId = id.parse().map_err(|detail: String| refuse(Refusal::invalid("argument_invalid", detail)))?;
        let mut tables = context.reader(service).await?;
        let found = Letter::find(&mut tables, context.caller().tenant(), &id).await.map_err(unreadable)?;
        Ok(found.map(Into::into))
    }
}

/// An event that a consumer could not take.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct DeadLetter {
    /// Its id: consumer and position.
    id: String,
    /// Who could not take it: kind and name.
    consumer: String,
    /// Where the event stands in the log; a number, as text.
    position: String,
    /// The aggregate's type.
    aggregate_type: String,
    /// The aggregate's id.
    aggregate_id: String,
    /// The event's name.
    event_type: String,
    /// `parked`, `waiting`, `applied` or `discarded`.
    state: String,
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

impl From<Letter> for DeadLetter {
    fn from(one: Letter) -> Self {
        let int = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        Self {
            id: one.id.to_string(),
            consumer: one.id.consumer.to_string(),
            position: one.id.position.to_string(),
            aggregate_type: one.aggregate_type,
            aggregate_id: one.aggregate_id,
            event_type: one.event_type,
            state: one.state.as_str().to_owned(),
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
