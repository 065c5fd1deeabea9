//! The row of a SAML connection.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// The current state of a SAML connection.
    pub struct SamlConnectionRow in "saml_connection" key ("tenant_id", "connection_id") {
        pub tenant_id: Uuid = "uuid",
        pub connection_id: Uuid = "uuid",
        /// The connection's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// The entity id of the identity provider.
        pub entity_id: String = "text",
        /// The e-mail domains of the users who sign in with it, in lower case.
        pub domains: Json<Vec<String>> = "jsonb",
        /// Whether users can sign in with it.
        pub active: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
