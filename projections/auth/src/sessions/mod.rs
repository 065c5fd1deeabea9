//! Sessions of users, current and ended.

mod list;
mod reducer;
mod row;

pub use list::{count, of_user, open_of};
pub use row::{SessionRow, SessionsEndedRow};

use folding::projection;

use crate::places::ERASED;

/// The account events that end all sessions of a user at once.
const ENDED: [&str; 3] = ["auth.account.sessions_ended", "auth.account.closed", ERASED];

projection! {
    /// Projects sessions, and what ended all of a person's sessions at once.
    pub struct Sessions = "sessions" @ 3, tables ["session", "sessions_ended"], events "auth.session." and ENDED by reducer::apply,
    forgets by reducer::forget
}
