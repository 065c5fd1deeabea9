//! Dataloaders for the nested objects of dead letters. Each kind is read in one batch for all dead letters of a response.

use deadletters::{Attempt, Decided, LetterId};
use face::graphql::{Fetch, Fetching, Session, keyed};
use kernel::Position;
use sqlx::PgConnection;

use super::{DeadLetterAttempt, DeadLetterDecision, DeadLetterEvent};

/// Loads events by their position. Several dead letters can refer to the same event, one for each consumer that failed.
pub(super) struct Events;

impl Fetch for Events {
    type Key = Position;
    type Value = DeadLetterEvent;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Position],
    ) -> Fetching<'a, Position, DeadLetterEvent> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let events = deadletters::events(tables, tenant, keys).await?;
            Ok(events.into_iter().map(|event| (event.position, event.into())).collect())
        })
    }
}

/// Loads the attempts to process the events of several dead letters.
pub(super) struct Attempts;

impl Fetch for Attempts {
    type Key = LetterId;
    type Value = Vec<DeadLetterAttempt>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [LetterId],
    ) -> Fetching<'a, LetterId, Vec<DeadLetterAttempt>> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let lists = Attempt::of(tables, tenant, keys).await?;
            Ok(keyed(keys, lists, DeadLetterAttempt::from))
        })
    }
}

/// Loads the decisions about several dead letters.
pub(super) struct Decisions;

impl Fetch for Decisions {
    type Key = LetterId;
    type Value = Vec<DeadLetterDecision>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [LetterId],
    ) -> Fetching<'a, LetterId, Vec<DeadLetterDecision>> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let lists = Decided::of(tables, tenant, keys).await?;
            Ok(keyed(keys, lists, DeadLetterDecision::from))
        })
    }
}
