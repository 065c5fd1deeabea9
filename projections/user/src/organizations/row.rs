//! The row of an organization.

use chrono::{DateTime, Utc};
use folding::table;
use uuid::Uuid;

table! {
    /// The current state of an organization.
    pub struct OrganizationRow in "organization" key ("tenant_id", "organization_id") {
        pub tenant_id: Uuid = "uuid",
        pub organization_id: Uuid = "uuid",
        /// The organization's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// The parent organization.
        pub parent_id: Option<Uuid> = "uuid",
        pub closed: bool = "boolean",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
