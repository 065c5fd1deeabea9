//! The domains of a tenant.

mod list;
mod reducer;
mod row;

pub use folding::list::count;
use folding::projection;
pub use list::{ByName, DomainFilter};
pub use row::DomainRow;

projection! {
    /// Projects domains.
    pub struct Domains = "domains" @ 1, tables ["domain"], events "user.domain." by reducer::apply,
    counts "domain_id" in ["domain"]
}
