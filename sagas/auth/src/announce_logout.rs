//! Notifies applications that a session of a person, or all of them, has ended (OpenID Connect Back-Channel Logout 1.0).

use std::time::Duration;

use auth_aggregates::{Account, AccountEvent, ClientId, Session, SessionId};
use coordinator::{Definition, Fault, Limits, Next, Retry, Start, StartContext, Step, StepContext};
use futures::future::join_all;
use kernel::{Aggregate, Backoff, RecordedEvent, UserId};
use mailing::decoded;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{LoggedOut, Ports};

/// An application may be unavailable for a while. Sessions that it keeps for longer expire by themselves.
const RETRY: Retry = Retry {
    attempts: 16,
    backoff: Backoff { first: Duration::from_secs(2), longest: Duration::from_mins(10) },
    park: false,
};

const LIMITS: Limits = Limits { attempt: Duration::from_secs(40), whole: Duration::from_hours(24) };

/// Whom to notify, and about what.
#[derive(Clone, Serialize, Deserialize)]
struct Parameters {
    user: UserId,
    /// `None`: all sessions of the person.
    session: Option<SessionId>,
    clients: Vec<ClientId>,
}

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let tell = move |context: StepContext, parameters: Parameters| tell(ports.clone(), context, parameters);
    // The pivot: who may look after sagas does not keep from an application that somebody's access ended.
    let steps = vec![Step::new("tell", tell).retry(RETRY).limits(LIMITS).pivot()];
    let starts_on =
        &["auth.session.ended", "auth.account.sessions_ended", "auth.account.closed", "auth.account.erased"];
    Definition::new("announce_logout", 1, &[], starts_on, start, steps)
}

async fn start(context: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    let unreadable = || Fault::refused("id", "the id is no UUID");
    let (user, session) = if event.aggregate_type == Session::TYPE {
        let session: SessionId = event.aggregate_id.parse().map_err(|_| unreadable())?;
        let found = context.load::<Session>(&event.aggregate_id).await?;
        let Some(started) = found.and_then(|(session, _)| session.started.clone()) else { return Ok(None) };
        (started.user, Some(session))
    } else {
        (event.aggregate_id.parse().map_err(|_| unreadable())?, None)
    };
    let Some((account, _)) = context.load::<Account>(&user.to_string()).await? else { return Ok(None) };
    let clients: Vec<_> = match session {
        None => {
            let listened: Option<Vec<_>> = decoded::<AccountEvent>(&event)?.into_iter().find_map(|event| match event {
                AccountEvent::SessionsEnded(e) => Some(account.listeners.until(e.ended()).collect()),
                // No application can get tokens of the account afterwards.
                AccountEvent::AccountClosed(_) | AccountEvent::AccountErased(_) => {
                    Some(account.listeners.all().collect())
                }
                _ => None,
            });
            listened.unwrap_or_default()
        }
        Some(session) => account.listeners.to(session).collect(),
    };
    let parameters = Parameters { user, session, clients };
    Ok((!parameters.clients.is_empty()).then_some(Start { key: event.aggregate_id, parameters }))
}

/// Notifies all applications that have not been notified, concurrently, so that one that is unavailable does not delay the others.
async fn tell(ports: Ports, context: StepContext, parameters: Parameters) -> Result<Next, Fault> {
    let Parameters { user, session, clients } = parameters;
    let left: Vec<ClientId> = context.progress()?.unwrap_or(clients);
    let told = join_all(left.iter().map(|client| {
        // The id is the same for each attempt, so that an application can detect repetitions.
        let id = Uuid::new_v5(&context.saga_id(), client.uuid().as_bytes());
        ports.notices.logged_out(context.tenant(), LoggedOut { id, client: *client, user, session })
    }));
    let outcomes = told.await;
    let failed: Vec<_> =
        left.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_err()).map(|(client, _)| *client).collect();
    match outcomes.into_iter().find_map(Result::err) {
        None => Ok(Next::done()),
        Some(_) if failed.len() < left.len() => Next::continue_from(&failed),
        Some(reason) => Err(Fault::transient("client_not_told", reason)),
    }
}
