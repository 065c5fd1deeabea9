//! Groups, and the roles that they gave at any time.

mod query;
mod reducer;
mod row;

use folding::projection;
pub use query::{GroupFilter, count, find, list, seek, standings};
pub use row::{GroupHistoryRow, GroupRow};

projection! {
    /// Projects groups.
    pub struct Groups = "groups" @ 2, tables ["user_group", "user_group_history"], events "user.group." by reducer::apply,
    counts "group_id" in ["user_group", "user_group_history"]
}
