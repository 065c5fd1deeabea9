//! The rows of groups.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::as_of::End;
use folding::history::Version;
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// A group as it is.
    pub struct GroupRow in "user_group" key ("tenant_id", "group_id") {
        pub tenant_id: Uuid = "uuid",
        pub group_id: Uuid = "uuid",
        /// The group's version that this row shows.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// By which an identity provider knows it.
        pub external_id: Option<String> = "text",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub dissolved: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

table! {
    /// The roles that a group gave from one version to the next.
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
