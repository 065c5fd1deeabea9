//! The rows of what callers were denied.

use chrono::{DateTime, Utc};
use folding::table;
use uuid::Uuid;

table! {
    /// What a caller who is known was denied, as often as it was in an hour.
    pub struct DeniedAccessRow in "denied_access" key ("tenant_id", "access_id") {
        pub tenant_id: Uuid = "uuid",
        pub access_id: Uuid = "uuid",
        /// The version that this row shows.
        pub version: i64 = "bigint",
        /// Who asked, as their token says; none: many, counted together.
        pub subject: Option<String> = "text",
        /// The same, if it is a user who has an account.
        pub user_id: Option<Uuid> = "uuid",
        /// Why, in a word.
        pub reason: String = "text",
        /// What they do not have.
        pub permission: Option<String> = "text",
        /// What they asked for first.
        pub operation: Option<String> = "text",
        /// The id of that request.
        pub request_id: Option<Uuid> = "uuid",
        pub at: DateTime<Utc> = "timestamptz",
        /// How often.
        pub times: i64 = "bigint",
        /// When the last time was.
        pub last_at: DateTime<Utc> = "timestamptz",
        /// From where the first came.
        pub address: Option<String> = "text",
        /// What the program said that it is.
        pub agent: Option<String> = "text",
        /// Of who is no user: a keyed hash of the address.
        pub origin: Option<String> = "text",
    }
}
