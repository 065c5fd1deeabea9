//! The rows of roles.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::as_of::End;
use folding::history::Version;
use folding::table;
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

table! {
    /// A version of a role.
    pub struct RoleHistoryRow in "role_history" key ("tenant_id", "role_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub role_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub permissions: Json<BTreeSet<String>> = "jsonb",
        pub includes: Json<BTreeSet<String>> = "jsonb",
        pub retired: bool = "boolean",
        pub valid_from: DateTime<Utc> = "timestamptz",
        pub valid_to: End = "timestamptz",
        pub known_from: DateTime<Utc> = "timestamptz",
        pub known_to: End = "timestamptz",
    }
}

impl Version for RoleHistoryRow {
    fn close(&mut self, valid_to: End, known_to: End) {
        (self.valid_to, self.known_to) = (valid_to, known_to);
    }
}
