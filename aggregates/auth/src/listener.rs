//! The clients that are notified when a user's sessions end (OpenID Connect Back-Channel Logout).

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{ClientId, Moment, SessionId};

/// Maximum lifetime of a session. Participation in older sessions is forgotten.
pub const LONGEST_SESSION: TimeDelta = TimeDelta::days(14);

/// The clients that got tokens in a user's sessions and want a logout notification, with the moment when they first took part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listeners(BTreeMap<ClientId, BTreeMap<SessionId, Moment>>);

impl Listeners {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a client is registered for a session.
    pub fn has(&self, client: ClientId, session: SessionId) -> bool {
        self.0.get(&client).is_some_and(|sessions| sessions.contains_key(&session))
    }

    /// The clients that are registered for a session.
    pub fn to(&self, session: SessionId) -> impl Iterator<Item = ClientId> {
        self.0.iter().filter(move |(_, sessions)| sessions.contains_key(&session)).map(|(client, _)| *client)
    }

    /// The clients that were registered for any of the sessions that ended together.
    pub fn until(&self, ended: Moment) -> impl Iterator<Item = ClientId> {
        self.0
            .iter()
            .filter(move |(_, sessions)| sessions.values().any(|since| since.ends_by(ended)))
            .map(|(client, _)| *client)
    }

    /// The clients that are registered for any session.
    pub fn all(&self) -> impl Iterator<Item = ClientId> {
        self.0.keys().copied()
    }

    pub(crate) fn add(&mut self, client: ClientId, session: SessionId, now: Moment) {
        for sessions in self.0.values_mut() {
            sessions.retain(|_, since| now.at - since.at < LONGEST_SESSION);
        }
        self.0.retain(|_, sessions| !sessions.is_empty());
        self.0.entry(client).or_default().insert(session, now);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn at(day: i64, era: Option<u32>) -> Moment {
        Moment { at: DateTime::UNIX_EPOCH + TimeDelta::days(day), era }
    }

    fn client(number: u128) -> ClientId {
        ClientId::new(Uuid::from_u128(number))
    }

    fn session(number: u128) -> SessionId {
        SessionId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_client_listens_to_its_sessions_as_long_as_they_can_hold() {
        let (client, other, day) = (client(1), client(2), |day| at(day, Some(0)));
        let mut listeners = Listeners::default();
        listeners.add(client, session(1), day(0));
        listeners.add(other, session(1), day(1));
        listeners.add(client, session(2), day(2));
        assert_eq!(listeners.to(session(1)).collect::<Vec<_>>(), [client, other]);
        assert_eq!(listeners.to(session(2)).collect::<Vec<_>>(), [client]);
        assert_eq!(listeners.all().collect::<Vec<_>>(), [client, other]);
        listeners.add(client, session(3), day(15));
        assert!(!listeners.has(client, session(1)) && !listeners.has(other, session(1)), "both are over");
        assert!(listeners.has(client, session(2)) && listeners.has(client, session(3)));
    }

    #[test]
    fn no_clock_says_who_listened_when_all_sessions_ended() {
        let (ahead, behind) = (client(1), client(2));
        let mut listeners = Listeners::default();
        listeners.add(ahead, session(1), at(9, Some(0)));
        listeners.add(behind, session(2), at(1, Some(1)));
        assert_eq!(listeners.until(at(5, Some(0))).collect::<Vec<_>>(), [ahead], "and nobody who came in since");
        assert_eq!(listeners.until(at(5, Some(1))).collect::<Vec<_>>(), [ahead, behind]);
        assert_eq!(listeners.until(at(5, None)).collect::<Vec<_>>(), [behind], "of before it was counted");
    }
}
