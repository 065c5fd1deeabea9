//! The sagas of the auth service. Each has a file with its parameters, the events that start it, and its steps.
//!
//! What they need apart from the log (mail, other services, applications) is passed in as [`Ports`] (`ports.rs`); the gateway provides the
//! adapters.
//!
//! To add one, write its file with a `definition()`, its `mod` line and its line in [`sagas`], and its test story in `tests/`, which tests
//! it with all failures (`sagabed`). The runtime is in `sagas/coordinator`. See `docs/src/sagas.md`.

mod announce_logout;
mod note_account_change;
mod ports;
mod send_password_link;

pub use ports::{LoggedOut, NoticeMail, NoticeMails, Notices, PasswordLinkMail, PasswordLinkMails, Ports};

use auth_commands::GRANTS;
use coordinator::Sagas;

coordinator::sagas_of!(
    /// The wire names of the auth service's saga events.
    pub struct AuthSagas of "auth"
);

/// All sagas of the auth service. Keep an old version as long as instances of it run.
pub fn sagas(ports: &Ports) -> Sagas {
    Sagas::of::<AuthSagas>(
        GRANTS,
        vec![
            send_password_link::definition(ports),
            announce_logout::definition(ports),
            note_account_change::definition(ports),
        ],
    )
}
