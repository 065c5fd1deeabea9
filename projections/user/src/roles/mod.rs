//! The roles that a tenant defined, and their history.

mod list;
mod reducer;
mod row;

use folding::{history, projection};
pub use list::{during, list, versions_as_of};
pub use row::{RoleHistoryRow, RoleRow};

projection! {
    /// Projects roles.
    pub struct Roles = "roles" @ 1, tables ["role", "role_history"], events "user.role." by history::apply::<RoleRow>,
    counts "role_id" in ["role", "role_history"]
}
