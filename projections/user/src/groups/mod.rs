//! Groups, and the history of the roles that they give.

mod list;
mod reducer;
mod row;

pub use folding::list::{count, list};
use folding::{history, projection};
pub use list::{ByName, GroupFilter, find, page, versions_as_of};
pub use row::{GroupHistoryRow, GroupRow};

projection! {
    /// Projects groups.
    pub struct Groups = "groups" @ 2, tables ["user_group", "user_group_history"], events "user.group." by history::apply::<GroupRow>,
    counts "group_id" in ["user_group", "user_group_history"]
}
