//! The roles that a tenant defined, and what they allowed at any time.

mod query;
mod reducer;
mod row;

use folding::projection;
pub use query::{during, list, standings};
pub use row::{RoleHistoryRow, RoleRow};

projection! {
    /// Projects roles.
    pub struct Roles = "roles" @ 1, tables ["role", "role_history"], events "user.role." by reducer::apply,
    counts "role_id" in ["role", "role_history"]
}
