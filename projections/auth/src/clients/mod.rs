//! Which applications there are.

mod list;
mod reducer;
mod row;

use folding::projection;
pub use list::{ClientFilter, count, find, list, seek};
pub use row::ClientRow;

projection! {
    /// Projects applications that sign people in.
    pub struct Clients = "clients" @ 1, tables ["client"], events "auth.client." by reducer::apply
}
