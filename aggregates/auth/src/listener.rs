//! Which clients want to be told when a person's sessions end (OpenID Connect Back-Channel Logout).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{ClientId, SessionId};

/// How long a session holds, whatever happens. What was before that needs no remembering.
pub const LONGEST_SESSION: TimeDelta = TimeDelta::days(14);

/// The clients that were given something in a person's sessions, and want to be told when those end; and since when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listeners(BTreeMap<ClientId, BTreeMap<SessionId, DateTime<Utc>>>);

impl Listeners {
    /// Whether no client ever was given anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a client listens to a session.
    pub fn has(&self, client: ClientId, session: SessionId) -> bool {
        self.0.get(&client).is_some_and(|sessions| sessions.contains_key(&session))
    }

    /// Those that listen to a session.
    pub fn to(&self, session: SessionId) -> impl Iterator<Item = ClientId> {
        self.0.iter().filter(move |(_, sessions)| sessions.contains_key(&session)).map(|(client, _)| *client)
    }

    /// Those that listened to any session at a time.
    pub fn until(&self, at: DateTime<Utc>) -> impl Iterator<Item = ClientId> {
        self.0
            .iter()
            .filter(move |(_, sessions)| sessions.values().any(|since| *since <= at))
            .map(|(client, _)| *client)
    }

    pub(crate) fn add(&mut self, client: ClientId, session: SessionId, at: DateTime<Utc>) {
        for sessions in self.0.values_mut() {
            sessions.retain(|_, since| at - *since < LONGEST_SESSION);
        }
        self.0.retain(|_, sessions| !sessions.is_empty());
        self.0.entry(client).or_default().insert(session, at);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_client_listens_to_its_sessions_as_long_as_they_can_hold() {
        let at = |day: i64| DateTime::UNIX_EPOCH + TimeDelta::days(day);
        let (client, other) = (ClientId::new(Uuid::from_u128(1)), ClientId::new(Uuid::from_u128(2)));
        let session = |number| SessionId::new(Uuid::from_u128(number));
        let mut listeners = Listeners::default();
        listeners.add(client, session(1), at(0));
        listeners.add(other, session(1), at(1));
        listeners.add(client, session(2), at(2));
        assert_eq!(listeners.to(session(1)).collect::<Vec<_>>(), [client, other]);
        assert_eq!(listeners.to(session(2)).collect::<Vec<_>>(), [client]);
        assert_eq!(listeners.until(at(0)).collect::<Vec<_>>(), [client]);
        listeners.add(client, session(3), at(15));
        assert!(!listeners.has(client, session(1)) && !listeners.has(other, session(1)), "both are over");
        assert!(listeners.has(client, session(2)) && listeners.has(client, session(3)));
    }
}
