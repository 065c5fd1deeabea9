//! The rows of roles.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::{table, version_table};
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// The current state of a role.
    pub struct RoleRow in "role" key ("tenant_id", "role_id") {
        pub tenant_id: Uuid = "uuid",
        pub role_id: Uuid = "uuid",
        /// The role's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub title: String = "text",
        pub permissions: Json<BTreeSet<String>> = "jsonb",
        pub includes: Json<BTreeSet<String>> = "jsonb",
        pub retired: bool = "boolean",
        pub defined_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

version_table! {
    /// A version of a role.
    pub struct RoleHistoryRow in "role_history" key ("tenant_id", "role_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub role_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub permissions: Json<BTreeSet<String>> = "jsonb",
        pub includes: Json<BTreeSet<String>> = "jsonb",
        pub retired: bool = "boolean",
    }
}
