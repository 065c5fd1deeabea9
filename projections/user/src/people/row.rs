//! The rows of people.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::as_of::End;
use folding::history::Version;
use folding::named::Named;
use folding::table;
use kernel::{PictureFormat, PostalAddress};
use sqlx::types::Json;
use user_aggregates::UserStatus;
use uuid::Uuid;

table! {
    /// A user as the directory shows them. What told who they were is empty when they are erased.
    pub struct PersonRow in "person" key ("tenant_id", "user_id") {
        pub tenant_id: Uuid = "uuid",
        pub user_id: Uuid = "uuid",
        /// The user's version that this row shows.
        pub version: i64 = "bigint",
        pub status: Named<UserStatus> = "text",
        /// Whether they are locked, also while they are deactivated.
        pub locked: bool = "boolean",
        pub email: Option<String> = "text",
        pub user_name: Option<String> = "text",
        /// By which an identity provider knows them.
        pub external_id: Option<String> = "text",
        /// Their full name with all that belongs to it, as that provider says it.
        pub formatted_name: Option<String> = "text",
        /// Whether it ever said one.
        pub name_told: bool = "boolean",
        /// What it calls their address, and whether that is the primary one to it.
        pub email_purpose: Option<String> = "text",
        pub email_primary: Option<bool> = "boolean",
        /// The same of their telephone number.
        pub phone_purpose: Option<String> = "text",
        pub phone_primary: Option<bool> = "boolean",
        /// Their postal address as it writes it out, and the same of that.
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
        /// Where a picture of them is, elsewhere.
        pub picture: Option<String> = "text",
        /// The id of the one that they uploaded instead.
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
    /// The picture that a user uploaded: there as long as they have it.
    pub struct PersonPictureRow in "person_picture" key ("tenant_id", "user_id") {
        pub tenant_id: Uuid = "uuid",
        pub user_id: Uuid = "uuid",
        /// Its own id, which its address ends with.
        pub picture_id: String = "text",
        pub format: Named<PictureFormat> = "text",
        /// Of its file, in hexadecimal digits.
        pub sha256: String = "text",
        pub file: Vec<u8> = "bytea",
    }
}

table! {
    /// How a user stood from one version to the next.
    pub struct PersonHistoryRow in "person_history" key ("tenant_id", "user_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub user_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        /// What happened: the event's last name, such as `role_granted`.
        pub change: String = "text",
        /// In whose name.
        pub actor: String = "text",
        pub status: Named<UserStatus> = "text",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub groups: Json<BTreeSet<Uuid>> = "jsonb",
        /// When it happened.
        pub valid_from: DateTime<Utc> = "timestamptz",
        /// When the next change happened.
        pub valid_to: End = "timestamptz",
        /// When the log took it.
        pub known_from: DateTime<Utc> = "timestamptz",
        /// When the log took the next change.
        pub known_to: End = "timestamptz",
    }
}

impl Version for PersonHistoryRow {
    fn close(&mut self, valid_to: End, known_to: End) {
        (self.valid_to, self.known_to) = (valid_to, known_to);
    }
}
