//! The rows of sessions.

use chrono::{DateTime, Utc};
use folding::table;
use sqlx::types::Json;
use uuid::Uuid;

table! {
    /// A session as it is, but for what ended all of a person's sessions at once.
    pub struct SessionRow in "session" key ("tenant_id", "session_id") {
        pub tenant_id: Uuid = "uuid",
        pub session_id: Uuid = "uuid",
        /// The session's version that this row shows.
        pub version: i64 = "bigint",
        pub user_id: Uuid = "uuid",
        /// By what the person showed who they are.
        pub methods: Json<Vec<String>> = "jsonb",
        pub started_at: DateTime<Utc> = "timestamptz",
        /// When they last showed it.
        pub confirmed_at: DateTime<Utc> = "timestamptz",
        /// When it was last used, as far as that was noted.
        pub used_at: DateTime<Utc> = "timestamptz",
        /// When it ends, whatever happens.
        pub expires_at: DateTime<Utc> = "timestamptz",
        /// From where they came.
        pub address: Option<String> = "text",
        /// What the browser said that it is.
        pub agent: Option<String> = "text",
        /// When it was ended by itself.
        pub ended_at: Option<DateTime<Utc>> = "timestamptz",
        pub end_reason: Option<String> = "text",
        /// How often all of the person's sessions had ended before, if it was counted.
        pub era: Option<i64> = "bigint",
    }
}

table! {
    /// When all sessions of a person ended.
    pub struct SessionsEndedRow in "sessions_ended" key ("tenant_id", "user_id") {
        pub tenant_id: Uuid = "uuid",
        pub user_id: Uuid = "uuid",
        /// The account's version that this row shows.
        pub version: i64 = "bigint",
        pub ended_at: DateTime<Utc> = "timestamptz",
        pub reason: String = "text",
        /// Of which era they were, at most, if it was counted.
        pub era: Option<i64> = "bigint",
    }
}

impl SessionsEndedRow {
    /// Whether a session of the person was among them.
    pub fn ended(&self, session: &SessionRow) -> bool {
        match (session.era, self.era) {
            (Some(began), Some(ended)) => began <= ended,
            _ => session.started_at <= self.ended_at,
        }
    }
}
