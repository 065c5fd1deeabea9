//! The body with which a lead, a contact, an account or an opportunity is given to somebody.

use schemars::JsonSchema;
use serde::Deserialize;

use super::form;

/// A new responsible user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"owner": "ada"}))]
pub(super) struct Assignment {
    /// The responsible user, as the subject of their token. An id of nobody who can sign in now is refused (`cannot_sign_in`).
    #[schemars(with = "form::Subject")]
    pub owner: String,
}
