//! The row of an application.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// The current state of an application, without its secret.
    pub struct ClientRow in "client" key ("tenant_id", "client_id") {
        pub tenant_id: Uuid = "uuid",
        pub client_id: Uuid = "uuid",
        /// The application's version.
        pub version: i64 = "bigint",
        /// The name that users see.
        pub name: String = "text",
        /// Whether it is a confidential client, which can keep a secret.
        pub confidential: bool = "boolean",
        /// Whether users are not asked for consent.
        pub trusted: bool = "boolean",
        /// The allowed redirect URIs.
        pub redirect_uris: Json<Vec<String>> = "jsonb",
        /// Whether it has a secret.
        pub has_secret: bool = "boolean",
        /// The number of public keys that are registered for it.
        pub keys: i64 = "bigint",
        /// Whether users can sign in with it.
        pub active: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
