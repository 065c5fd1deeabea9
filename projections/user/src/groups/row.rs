//! The rows of groups.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::as_of::End;
use folding::history::Version;
use folding::table;
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

table! {
    /// A version of a group, with the roles that it gives.
    pub struct GroupHistoryRow in "user_group_history" key ("tenant_id", "group_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub group_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub dissolved: bool = "boolean",
        pub valid_from: DateTime<Utc> = "timestamptz",
        pub valid_to: End = "timestamptz",
        pub known_from: DateTime<Utc> = "timestamptz",
        pub known_to: End = "timestamptz",
    }
}

impl Version for GroupHistoryRow {
    fn close(&mut self, valid_to: End, known_to: End) {
        (self.valid_to, self.known_to) = (valid_to, known_to);
    }
}
