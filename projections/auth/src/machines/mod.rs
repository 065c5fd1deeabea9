//! Which machines there are.

mod list;
mod reducer;
mod row;

use folding::projection;
pub use list::{MachineFilter, count, find, list, seek};
pub use row::MachineRow;

projection! {
    /// Projects machines.
    pub struct Machines = "machines" @ 1, tables ["machine"], events "auth.machine." by reducer::apply
}
