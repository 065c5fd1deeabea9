//! The organizations of a tenant.

mod list;
mod reducer;
mod row;

pub use folding::list::count;
use folding::projection;
pub use list::{ByName, OrganizationFilter};
pub use row::OrganizationRow;

projection! {
    /// Projects organizations.
    pub struct Organizations = "organizations" @ 1, tables ["organization"], events "user.organization." by reducer::apply,
    counts "organization_id" in ["organization"]
}
