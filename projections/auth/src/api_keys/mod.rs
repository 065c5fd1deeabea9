//! The API keys of machines.

mod list;
mod reducer;
mod row;

use folding::projection;
pub use list::{counts, of_machines};
pub use row::ApiKeyRow;

projection! {
    /// Projects API keys.
    pub struct ApiKeys = "api_keys" @ 2, tables ["api_key"], events "auth.api_key." by reducer::apply
}
