//! The row of a machine.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// The current state of a machine.
    pub struct MachineRow in "machine" key ("tenant_id", "machine_id") {
        pub tenant_id: Uuid = "uuid",
        pub machine_id: Uuid = "uuid",
        /// The machine's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// The names of its roles in the tenant.
        pub roles: Json<Vec<String>> = "jsonb",
        /// Whether it has a secret.
        pub has_secret: bool = "boolean",
        /// The number of public keys that are registered for it.
        pub keys: i64 = "bigint",
        /// Whether it can get tokens.
        pub active: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
