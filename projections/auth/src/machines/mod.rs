//! The list of machines, and the roles that they had over time.

mod list;
mod reducer;
mod role_periods;
mod row;

pub use folding::list::count;
use folding::projection;
pub use list::{ByName, MachineFilter, ids};
pub use role_periods::role_periods;
pub use row::MachineRow;

projection! {
    /// Projects machines.
    pub struct Machines = "machines" @ 1, tables ["machine"], events "auth.machine." by reducer::apply
}
