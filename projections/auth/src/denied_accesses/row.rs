//! The rows of denied requests.

use chrono::{DateTime, Utc};
use folding::table;
use uuid::Uuid;

table! {
    /// A denial of an authenticated caller, counted over an hour.
    pub struct DeniedAccessRow in "denied_access" key ("tenant_id", "access_id") {
        pub tenant_id: Uuid = "uuid",
        pub access_id: Uuid = "uuid",
        /// The version.
        pub version: i64 = "bigint",
        /// The subject of the token; `None` when denials of many subjects are counted together.
        pub subject: Option<String> = "text",
        /// The user, if the subject is one with an account.
        pub user_id: Option<Uuid> = "uuid",
        /// The reason code.
        pub reason: String = "text",
        /// The missing permission.
        pub permission: Option<String> = "text",
        /// The operation of the first denied request.
        pub operation: Option<String> = "text",
        /// The id of that request.
        pub request_id: Option<Uuid> = "uuid",
        pub at: DateTime<Utc> = "timestamptz",
        /// The number of denials.
        pub times: i64 = "bigint",
        /// When the last one was.
        pub last_at: DateTime<Utc> = "timestamptz",
        /// The client address of the first one.
        pub address: Option<String> = "text",
        /// The user agent of the first one.
        pub agent: Option<String> = "text",
        /// A keyed hash of the client address, if the subject is not a user.
        pub origin: Option<String> = "text",
    }
}
