//! The row of an API key.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// An API key as it is; nothing of its secret.
    pub struct ApiKeyRow in "api_key" key ("tenant_id", "api_key_id") {
        pub tenant_id: Uuid = "uuid",
        pub api_key_id: Uuid = "uuid",
        /// The key's version that this row shows.
        pub version: i64 = "bigint",
        pub machine_id: Uuid = "uuid",
        /// What it is for.
        pub name: String = "text",
        /// The permissions to which it is limited; none: it is not.
        pub scopes: Json<Vec<String>> = "jsonb",
        pub expires_at: Option<DateTime<Utc>> = "timestamptz",
        /// About when it was last used.
        pub last_used_at: Option<DateTime<Utc>> = "timestamptz",
        /// About when somebody was last refused who came with it.
        pub last_refused_at: Option<DateTime<Utc>> = "timestamptz",
        /// Why.
        pub last_refusal: Option<String> = "text",
        pub revoked_at: Option<DateTime<Utc>> = "timestamptz",
        pub created_at: DateTime<Utc> = "timestamptz",
    }
}
