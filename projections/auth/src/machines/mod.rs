//! Which machines there are.

mod list;
mod reducer;
mod row;
mod stints;

use folding::projection;
pub use list::{MachineFilter, count, find, ids, list, seek};
pub use row::MachineRow;
pub use stints::stints;

projection! {
    /// Projects machines.
    pub struct Machines = "machines" @ 1, tables ["machine"], events "auth.machine." by reducer::apply
}
