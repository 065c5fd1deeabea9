//! The directory of users, their uploaded pictures, and their history.

mod history;
mod list;
mod members;
mod picture;
mod reducer;
mod row;
mod search;

use folding::projection;
pub use history::{history, version_as_of, versions_as_of};
pub use list::{
    PersonFilter, PersonOrder, by_external_id, by_login, count, count_present, find, first, ids, list, page_present,
};
pub use members::{MemberCursor, MembersOf, count_members, members};
pub use picture::picture;
pub use row::{PersonHistoryRow, PersonPictureRow, PersonRow};

projection! {
    /// Projects users.
    pub struct People = "people" @ 11, tables ["person", "person_word", "person_picture", "person_history"], events "user.user." by reducer::apply,
    counts "user_id" in ["person", "person_history"], forgets by reducer::forget
}
