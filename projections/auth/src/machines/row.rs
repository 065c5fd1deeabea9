//! The row of a machine.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// A machine as it is.
    pub struct MachineRow in "machine" key ("tenant_id", "machine_id") {
        pub tenant_id: Uuid = "uuid",
        pub machine_id: Uuid = "uuid",
        /// The machine's version that this row shows.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// What it is in the tenant, by name.
        pub roles: Json<Vec<String>> = "jsonb",
        /// Whether it has a secret.
        pub has_secret: bool = "boolean",
        /// How many keys it signs with.
        pub keys: i64 = "bigint",
        /// Whether it may have tokens.
        pub active: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
