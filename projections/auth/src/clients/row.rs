//! The row of an application.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// An application as it is; nothing of its secret.
    pub struct ClientRow in "client" key ("tenant_id", "client_id") {
        pub tenant_id: Uuid = "uuid",
        pub client_id: Uuid = "uuid",
        /// The application's version that this row shows.
        pub version: i64 = "bigint",
        /// What people are shown.
        pub name: String = "text",
        /// Whether it can keep a secret.
        pub confidential: bool = "boolean",
        /// Whether people are not asked.
        pub trusted: bool = "boolean",
        /// Where people are sent back to.
        pub redirect_uris: Json<Vec<String>> = "jsonb",
        /// Whether it has a secret.
        pub has_secret: bool = "boolean",
        /// How many keys it signs with.
        pub keys: i64 = "bigint",
        /// Whether it may sign people in.
        pub active: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
