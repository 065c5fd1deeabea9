//! The rows of people.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::named::Named;
use folding::{table, version_table};
use kernel::{PictureFormat, PostalAddress};
use sqlx::types::Json;
use user_aggregates::UserStatus;
use uuid::Uuid;

table! {
    /// The current state of a user. After an erasure the personal data is empty.
    pub struct PersonRow in "person" key ("tenant_id", "user_id") {
        pub tenant_id: Uuid = "uuid",
        pub user_id: Uuid = "uuid",
        /// The user's version.
        pub version: i64 = "bigint",
        pub status: Named<UserStatus> = "text",
        /// Whether the user is locked; kept also while they are deactivated.
        pub locked: bool = "boolean",
        pub email: Option<String> = "text",
        pub user_name: Option<String> = "text",
        /// The id of the user at an identity provider.
        pub external_id: Option<String> = "text",
        /// The full name as formatted by the identity provider.
        pub formatted_name: Option<String> = "text",
        /// Whether the provider ever sent a formatted name.
        pub name_told: bool = "boolean",
        /// The provider's label of the e-mail address: its purpose, and whether it is the primary one.
        pub email_purpose: Option<String> = "text",
        pub email_primary: Option<bool> = "boolean",
        /// The provider's label of the telephone number.
        pub phone_purpose: Option<String> = "text",
        pub phone_primary: Option<bool> = "boolean",
        /// The postal address as formatted by the provider, and its label.
        pub formatted_address: Option<String> = "text",
        pub address_purpose: Option<String> = "text",
        pub address_primary: Option<bool> = "boolean",
        pub email_verified: bool = "boolean",
        pub name: String = "text",
        pub given_name: Option<String> = "text",
        pub family_name: Option<String> = "text",
        pub title: Option<String> = "text",
        pub phone: Option<String> = "text",
        pub phone_verified: bool = "boolean",
        pub address: Option<Json<PostalAddress>> = "jsonb",
        /// The URL of a picture on another server.
        pub picture: Option<String> = "text",
        /// The id of the picture that was uploaded here instead.
        pub uploaded_picture: Option<String> = "text",
        pub locale: Option<String> = "text",
        pub time_zone: Option<String> = "text",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub groups: Json<BTreeSet<Uuid>> = "jsonb",
        pub organizations: Json<BTreeSet<Uuid>> = "jsonb",
        pub registered_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

table! {
    /// The picture that a user uploaded. The row is deleted with the picture.
    pub struct PersonPictureRow in "person_picture" key ("tenant_id", "user_id") {
        pub tenant_id: Uuid = "uuid",
        pub user_id: Uuid = "uuid",
        /// The id of the picture, the end of its URL.
        pub picture_id: String = "text",
        pub format: Named<PictureFormat> = "text",
        /// The SHA-256 hash of the file, in hexadecimal digits.
        pub sha256: String = "text",
        pub file: Vec<u8> = "bytea",
    }
}

version_table! {
    /// A version of a user, without personal data.
    pub struct PersonHistoryRow in "person_history" key ("tenant_id", "user_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub user_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        /// The last part of the event type, such as `role_granted`.
        pub change: String = "text",
        /// The subject that caused the event.
        pub actor: String = "text",
        pub status: Named<UserStatus> = "text",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub groups: Json<BTreeSet<Uuid>> = "jsonb",
    }
}
