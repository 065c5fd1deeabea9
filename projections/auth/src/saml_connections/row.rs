//! The row of a SAML connection.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// A SAML connection as it is.
    pub struct SamlConnectionRow in "saml_connection" key ("tenant_id", "connection_id") {
        pub tenant_id: Uuid = "uuid",
        pub connection_id: Uuid = "uuid",
        /// The connection's version that this row shows.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// Its identity provider.
        pub entity_id: String = "text",
        /// The e-mail domains of the people whom it signs in, lower case.
        pub domains: Json<Vec<String>> = "jsonb",
        /// Whether it signs people in.
        pub active: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
