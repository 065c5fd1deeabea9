//! SAML connections to identity providers.

mod list;
mod reducer;
mod row;

use folding::projection;
pub use list::{any_active, count, list, of_domain};
pub use row::SamlConnectionRow;

projection! {
    /// Projects SAML connections.
    pub struct SamlConnections = "saml_connections" @ 1, tables ["saml_connection"], events "auth.saml_connection." by reducer::apply
}
