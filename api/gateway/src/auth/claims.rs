//! What our tokens say besides the registered claims.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The claims of our own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenClaims {
    /// The tenant in whose name the caller acts.
    pub tenant: Uuid,
    /// What the caller is within it, by name: built-in roles and the tenant's own. None: a user of the tenant is what they are.
    pub roles: Vec<String>,
}
