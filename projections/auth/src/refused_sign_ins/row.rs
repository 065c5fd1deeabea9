//! The rows of refused attempts to sign in.

use chrono::{DateTime, Utc};
use folding::table;
use uuid::Uuid;

table! {
    /// An attempt to sign in that was refused.
    pub struct RefusedSignInRow in "refused_sign_in" key ("tenant_id", "sign_in_id") {
        pub tenant_id: Uuid = "uuid",
        pub sign_in_id: Uuid = "uuid",
        /// The version that this row shows.
        pub version: i64 = "bigint",
        /// Whose account it was about; none: there is none of that name.
        pub user_id: Option<Uuid> = "uuid",
        /// Why, in a word.
        pub reason: String = "text",
        pub at: DateTime<Utc> = "timestamptz",
        /// From where it came.
        pub address: Option<String> = "text",
        /// What the browser said that it is.
        pub agent: Option<String> = "text",
        /// Of what was about nobody: a keyed hash of the address.
        pub origin: Option<String> = "text",
    }
}
