//! The sagas of people and tenants: one file each, with its parameters, what starts it, and its steps with their undo.
//!
//! What they need of the world outside the log comes in as [`Outside`].
//!
//! To add one: its file here with a `definition()`, its `mod` line and its place in [`sagas`]; its story in `tests/`, which runs
//! it through everything that can go wrong (`sagabed`). See `docs/src/sagas.md`.

mod mailing;
mod send_invitation;
mod verify_email;

use std::sync::Arc;

use coordinator::Sagas;
use mailer::Mailer;
use user_commands::{GRANTS, LinkKey};

coordinator::sagas_of!(
    /// The names of the user service's sagas on the wire.
    pub struct UserSagas of "user"
);

/// What is outside the log.
#[derive(Clone)]
pub struct Outside {
    /// How mail goes out.
    pub mailer: Arc<dyn Mailer>,
    /// The key under which links are made.
    pub links: LinkKey,
    /// Where people reach us, without a slash at the end: the beginning of mailed links.
    pub url: Arc<str>,
}

impl Outside {
    /// `secret` is the service's own, the same as in its API: links that are mailed here are read there.
    pub fn new(mailer: Arc<dyn Mailer>, secret: &[u8; 32], url: Arc<str>) -> Self {
        Self { mailer, links: LinkKey::derive(secret), url }
    }
}

/// All sagas of the user service. An old version stays as long as instances of it run.
pub fn sagas(outside: &Outside) -> Sagas {
    Sagas::of::<UserSagas>(GRANTS, vec![send_invitation::definition(outside), verify_email::definition(outside)])
}
