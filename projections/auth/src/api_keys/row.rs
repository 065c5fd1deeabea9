//! The row of an API key.

use auth_aggregates::ApiKeyRefusal;
use chrono::{DateTime, Utc};
use folding::named::Named;
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// The current state of an API key, without its secret.
    pub struct ApiKeyRow in "api_key" key ("tenant_id", "api_key_id") {
        pub tenant_id: Uuid = "uuid",
        pub api_key_id: Uuid = "uuid",
        /// The key's version.
        pub version: i64 = "bigint",
        pub machine_id: Uuid = "uuid",
        /// A name that says what it is for.
        pub name: String = "text",
        /// The permissions to which it is limited; empty when it is not limited.
        pub scopes: Json<Vec<String>> = "jsonb",
        pub expires_at: Option<DateTime<Utc>> = "timestamptz",
        /// When it was last used, approximately.
        pub last_used_at: Option<DateTime<Utc>> = "timestamptz",
        /// When a request with this key was last refused, approximately.
        pub last_refused_at: Option<DateTime<Utc>> = "timestamptz",
        /// The reason of that refusal.
        pub last_refusal: Option<Named<ApiKeyRefusal>> = "text",
        pub revoked_at: Option<DateTime<Utc>> = "timestamptz",
        pub created_at: DateTime<Utc> = "timestamptz",
    }
}
