//! Which machines there are.

mod list;
mod reducer;
mod row;
mod stints;

pub use folding::list::{count, find};
use folding::projection;
pub use list::{ByName, MachineFilter, ids};
pub use row::MachineRow;
pub use stints::stints;

projection! {
    /// Projects machines.
    pub struct Machines = "machines" @ 1, tables ["machine"], events "auth.machine." by reducer::apply
}
