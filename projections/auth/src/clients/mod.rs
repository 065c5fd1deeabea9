//! The list of applications (OAuth clients).

mod list;
mod reducer;
mod row;

pub use folding::list::count;
use folding::projection;
pub use list::{ByName, ClientFilter};
pub use row::ClientRow;

projection! {
    /// Projects applications with which users sign in.
    pub struct Clients = "clients" @ 1, tables ["client"], events "auth.client." by reducer::apply
}
