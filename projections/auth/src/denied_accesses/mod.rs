//! Denied requests of authenticated callers: who requested what, which permission was missing, how often, and from where.

mod list;
mod reducer;
mod row;

pub use list::{count, of_subject, of_user};
pub use row::DeniedAccessRow;

use folding::projection;

use crate::places::ERASED;

projection! {
    /// Projects denials.
    pub struct DeniedAccesses = "denied_accesses" @ 1, tables ["denied_access"], events "auth.access." and [ERASED] by reducer::apply,
    forgets by reducer::forget
}
