//! The rows of sessions.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// The current state of a session, except that it may be ended by a [`SessionsEndedRow`].
    pub struct SessionRow in "session" key ("tenant_id", "session_id") {
        pub tenant_id: Uuid = "uuid",
        pub session_id: Uuid = "uuid",
        /// The session's version.
        pub version: i64 = "bigint",
        pub user_id: Uuid = "uuid",
        /// The methods by which the user authenticated.
        pub methods: Json<Vec<String>> = "jsonb",
        pub started_at: DateTime<Utc> = "timestamptz",
        /// When the user last authenticated.
        pub confirmed_at: DateTime<Utc> = "timestamptz",
        /// When it was last used, as far as recorded.
        pub used_at: DateTime<Utc> = "timestamptz",
        /// When it expires, however much it is used.
        pub expires_at: DateTime<Utc> = "timestamptz",
        /// The client address.
        pub address: Option<String> = "text",
        /// The user agent.
        pub agent: Option<String> = "text",
        /// When this session alone was ended.
        pub ended_at: Option<DateTime<Utc>> = "timestamptz",
        pub end_reason: Option<String> = "text",
        /// How often all sessions of the user had been ended before it began, if that was counted.
        pub era: Option<i64> = "bigint",
    }
}

table! {
    /// When all sessions of a user were last ended at once.
    pub struct SessionsEndedRow in "sessions_ended" key ("tenant_id", "user_id") {
        pub tenant_id: Uuid = "uuid",
        pub user_id: Uuid = "uuid",
        /// The account's version.
        pub version: i64 = "bigint",
        pub ended_at: DateTime<Utc> = "timestamptz",
        pub reason: String = "text",
        /// The last era whose sessions were ended, if that was counted.
        pub era: Option<i64> = "bigint",
    }
}

impl SessionsEndedRow {
    /// Whether this ended a session of the user.
    pub fn ended(&self, session: &SessionRow) -> bool {
        match (session.era, self.era) {
            (Some(began), Some(ended)) => began <= ended,
            _ => session.started_at <= self.ended_at,
        }
    }
}
