//! The rows of contacts.

use chrono::{DateTime, Utc};
use kernel::PostalAddress;
use sqlx::types::Json;
use uuid::Uuid;

use folding::{table, version_table};

table! {
    /// The current state of a contact.
    pub struct ContactRow in "contact" key ("tenant_id", "contact_id") {
        pub tenant_id: Uuid = "uuid",
        pub contact_id: Uuid = "uuid",
        /// The contact's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub title: Option<String> = "text",
        pub email: Option<String> = "text",
        pub phone: Option<String> = "text",
        pub address: Option<Json<PostalAddress>> = "jsonb",
        pub account_id: Option<Uuid> = "uuid",
        /// The responsible user, as the subject in their token.
        pub owner: Option<String> = "text",
        /// The lead that it was converted from.
        pub lead_id: Option<Uuid> = "uuid",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
        /// When it was erased.
        pub erased_at: Option<DateTime<Utc>> = "timestamptz",
    }
}

version_table! {
    /// A version of a contact.
    pub struct ContactHistoryRow in "contact_history" key ("tenant_id", "contact_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub contact_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        /// The last part of the event type, such as `reassigned`.
        pub change: String = "text",
        /// The subject that caused the event.
        pub actor: String = "text",
        pub account_id: Option<Uuid> = "uuid",
        pub owner: Option<String> = "text",
    }
}
