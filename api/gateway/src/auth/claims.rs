//! Our private claims (RFC 7519 section 4.3) in tokens of `inopsio token`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The private claims of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenClaims {
    /// The tenant of the caller.
    pub tenant: Uuid,
    /// The names of the caller's roles: built-in ones and the tenant's own. If empty, the subject is a user of the tenant, with that
    /// user's roles.
    pub roles: Vec<String>,
}
