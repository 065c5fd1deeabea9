//! The rows of groups.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::{table, version_table};
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// The current state of a group.
    pub struct GroupRow in "user_group" key ("tenant_id", "group_id") {
        pub tenant_id: Uuid = "uuid",
        pub group_id: Uuid = "uuid",
        /// The group's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// The id of the group at an identity provider.
        pub external_id: Option<String> = "text",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub dissolved: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

version_table! {
    /// A version of a group, with the roles that it gives.
    pub struct GroupHistoryRow in "user_group_history" key ("tenant_id", "group_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub group_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub dissolved: bool = "boolean",
    }
}
