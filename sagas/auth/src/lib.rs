//! The auth service's sagas: one file each, with its parameters, the events that start it, and its steps.
//!
//! What they need beside the log (mail, other services, the installation) comes in as [`Ports`]; the gateway provides the adapters.
//!
//! To add one: its file here with a `definition()`, its `mod` line and its line in [`sagas`]; and its test story in `tests/`, which runs
//! it through all failures (`sagabed`). The runtime is in `sagas/coordinator`. See `docs/src/sagas.md`.

mod announce_logout;
mod send_password_link;

use std::sync::Arc;

use auth_aggregates::{ClientId, SessionId};
use auth_commands::GRANTS;
use coordinator::Sagas;
use futures::future::BoxFuture;
use kernel::{Personal, TenantId, UserId};
use mailer::Mailer;
use uuid::Uuid;

coordinator::sagas_of!(
    /// The names of the auth service's sagas on the wire.
    pub struct AuthSagas of "auth"
);

/// What the sagas need beside the log.
#[derive(Clone)]
pub struct Ports {
    /// How mail goes out.
    pub mailer: Arc<dyn Mailer>,
    /// To whom, and with which link.
    pub letters: Arc<dyn Letters>,
    /// How applications are told of the end of sessions.
    pub notices: Arc<dyn Notices>,
}

/// To whom a mail goes, and what it is about. Nothing of it stands in the log of signing in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The address.
    pub to: Personal<String>,
    /// The person's name.
    pub name: Personal<String>,
    /// The tenant's name.
    pub tenant: String,
    /// The link: whoever has it sets the password.
    pub link: Personal<String>,
}

/// Knows people's addresses, and makes the links that are mailed to them.
pub trait Letters: Send + Sync + 'static {
    /// The letter with the link of a turn with which somebody sets their password; none: there is nobody to whom it could go.
    /// An error says why it can't be told now.
    fn password_link(&self, tenant: TenantId, user: UserId, turn: u32)
    -> BoxFuture<'_, Result<Option<Letter>, String>>;
}

/// That a client is to be told that somebody's session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedOut {
    /// Which notice: said again, it is the same.
    pub id: Uuid,
    /// Who is told.
    pub client: ClientId,
    /// Whose session it was.
    pub user: UserId,
    /// Which; none: all of theirs.
    pub session: Option<SessionId>,
}

/// Tells applications.
pub trait Notices: Send + Sync + 'static {
    /// Tells a client, if it wants to know. An error says why it could not be told now.
    fn logged_out(&self, tenant: TenantId, notice: LoggedOut) -> BoxFuture<'_, Result<(), String>>;
}

/// All sagas of the auth service. An old version stays as long as instances of it run.
pub fn sagas(ports: &Ports) -> Sagas {
    Sagas::of::<AuthSagas>(GRANTS, vec![send_password_link::definition(ports), announce_logout::definition(ports)])
}
