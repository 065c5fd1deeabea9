//! The rows of refused sign-ins.

use chrono::{DateTime, Utc};
use folding::table;
use uuid::Uuid;

table! {
    /// A refused sign-in.
    pub struct RefusedSignInRow in "refused_sign_in" key ("tenant_id", "sign_in_id") {
        pub tenant_id: Uuid = "uuid",
        pub sign_in_id: Uuid = "uuid",
        /// The version.
        pub version: i64 = "bigint",
        /// The user whose account it was; `None` if there is no account of that name.
        pub user_id: Option<Uuid> = "uuid",
        /// The reason code.
        pub reason: String = "text",
        pub at: DateTime<Utc> = "timestamptz",
        /// The client address.
        pub address: Option<String> = "text",
        /// The user agent.
        pub agent: Option<String> = "text",
        /// A keyed hash of the client address, if there is no user.
        pub origin: Option<String> = "text",
    }
}
