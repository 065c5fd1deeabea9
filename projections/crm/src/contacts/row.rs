//! The row of a contact.

use chrono::{DateTime, Utc};
use kernel::PostalAddress;
use sqlx::types::Json;
use uuid::Uuid;

use folding::table;

table! {
    /// A contact as the directory shows it.
    pub struct ContactRow in "contact" key ("tenant_id", "contact_id") {
        pub tenant_id: Uuid = "uuid",
        pub contact_id: Uuid = "uuid",
        /// The contact's version that this row shows.
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub title: Option<String> = "text",
        pub email: Option<String> = "text",
        pub phone: Option<String> = "text",
        pub address: Option<Json<PostalAddress>> = "jsonb",
        pub account_id: Option<Uuid> = "uuid",
        /// The user responsible, by the subject of their token.
        pub owner: Option<String> = "text",
        /// The lead that it was converted from.
        pub lead_id: Option<Uuid> = "uuid",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
        /// Since when nothing is kept of who they were.
        pub erased_at: Option<DateTime<Utc>> = "timestamptz",
    }
}
