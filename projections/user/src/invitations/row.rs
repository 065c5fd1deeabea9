//! The row of an invitation.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::named::Named;
use folding::table;
use sqlx::types::Json;
use user_aggregates::InvitationStatus;
use uuid::Uuid;

table! {
    /// The current state of an invitation.
    pub struct InvitationRow in "invitation" key ("tenant_id", "invitation_id") {
        pub tenant_id: Uuid = "uuid",
        pub invitation_id: Uuid = "uuid",
        /// The invitation's version.
        pub version: i64 = "bigint",
        pub status: Named<InvitationStatus> = "text",
        pub email: String = "text",
        pub name: Option<String> = "text",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub groups: Json<BTreeSet<Uuid>> = "jsonb",
        /// The subject that sent it.
        pub invited_by: String = "text",
        /// When its last link expires.
        pub expires_at: DateTime<Utc> = "timestamptz",
        /// The user that was registered with it.
        pub user_id: Option<Uuid> = "uuid",
        /// When it was last sent.
        pub sent_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
