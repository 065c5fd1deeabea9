//! The directory of users, and how each stood at any time.

mod history;
mod list;
mod reducer;
mod row;

use folding::projection;
pub use history::{history, standing, standings};
pub use list::{PersonFilter, PersonOrder, by_login, count, find, ids, list};
pub use row::{PersonHistoryRow, PersonRow};

projection! {
    /// Projects users.
    pub struct People = "people" @ 1, tables ["person", "person_word", "person_history"], events "user.user." by reducer::apply,
    counts "user_id" in ["person", "person_history"]
}
