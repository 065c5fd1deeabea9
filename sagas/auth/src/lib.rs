//! The auth service's sagas: one file each, with its parameters, the events that start it, and its steps.
//!
//! What they need beside the log (mail, other services, the installation) comes in as [`Ports`]; the gateway provides the adapters.
//!
//! To add one: write its file here with a `definition()`, its `mod` line and its line in [`sagas`], and its test story in `tests/`, which
//! runs it through all failures (`sagabed`). The runtime is in `sagas/coordinator`. See `docs/src/sagas.md`.

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

/// The sagas' ports.
#[derive(Clone)]
pub struct Ports {
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// Provides the recipient and the link of a mail.
    pub letters: Arc<dyn Letters>,
    /// Notifies applications of the end of sessions.
    pub notices: Arc<dyn Notices>,
}

/// The personal data for a mail. None of it is in the log of the auth service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The address.
    pub to: Personal<String>,
    /// The person's name.
    pub name: Personal<String>,
    /// The tenant's name.
    pub tenant: String,
    /// The link, with which the password can be set.
    pub link: Personal<String>,
}

/// Looks up people's addresses, and makes the links that are mailed to them.
pub trait Letters: Send + Sync + 'static {
    /// The data for a mail with the link with which a user sets their password; none: there is no recipient. `turn`: the number of the
    /// request, which the account counts. An error says why it can't be determined now.
    fn password_link(&self, tenant: TenantId, user: UserId, turn: u32)
    -> BoxFuture<'_, Result<Option<Letter>, String>>;
}

/// A notice to a client that a user's session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedOut {
    /// The id of the notice, the same when it is sent again.
    pub id: Uuid,
    /// The client.
    pub client: ClientId,
    /// The user.
    pub user: UserId,
    /// The session; none: all of the user's.
    pub session: Option<SessionId>,
}

/// Notifies applications.
pub trait Notices: Send + Sync + 'static {
    /// Notifies a client, if it has a logout endpoint. An error says why that failed.
    fn logged_out(&self, tenant: TenantId, notice: LoggedOut) -> BoxFuture<'_, Result<(), String>>;
}

/// All sagas of the auth service. An old version of a saga stays as long as instances of it run.
pub fn sagas(ports: &Ports) -> Sagas {
    Sagas::of::<AuthSagas>(GRANTS, vec![send_password_link::definition(ports), announce_logout::definition(ports)])
}
