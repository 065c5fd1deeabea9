//! The passkeys of an account (WebAuthn): their public keys, signature counters, and used challenges.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::Personal;
use serde::{Deserialize, Serialize};

use crate::{
    AccountError, AccountEvent, Jwk, PasskeyEnrolled, PasskeyRemoved, PasskeyRenamed, PasskeyUsed, RecoveryCodesSet,
};

/// Maximum time from a challenge to the browser's response.
pub const CHALLENGE_GOOD_FOR: TimeDelta = TimeDelta::minutes(10);

/// This many of the latest challenges are remembered whatever their age: while a clock is ahead all of them look expired, and if they were
/// forgotten then, they could be replayed once the clock is right again.
const REMEMBERED: usize = 16;

/// Maximum passkeys of a user.
pub const MOST_PASSKEYS: usize = 20;

/// The passkeys of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Passkeys {
    /// The passkeys by credential id, base64url-encoded.
    pub by_id: BTreeMap<String, Passkey>,
    /// Used challenges with their expiry. Expired ones are forgotten, except the [latest ones](REMEMBERED).
    pub used: BTreeMap<String, DateTime<Utc>>,
}

/// A passkey of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passkey {
    /// The user's name for it.
    pub name: Personal<String>,
    /// The public key that verifies its signatures.
    pub key: Jwk,
    /// Its signature counter; 0 if it does not count.
    pub counter: u32,
    /// Whether it may be synced between devices.
    pub synced: bool,
    /// When it was enrolled.
    pub enrolled_at: DateTime<Utc>,
    /// When it was last used.
    pub used_at: Option<DateTime<Utc>>,
}

impl Passkeys {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn enrol(
        &self,
        enrolled: PasskeyEnrolled,
        recovery: Vec<String>,
    ) -> Result<Vec<AccountEvent>, AccountError> {
        if self.by_id.contains_key(&enrolled.passkey) {
            return Err(AccountError::PasskeyThere);
        }
        if self.by_id.len() >= MOST_PASSKEYS {
            return Err(AccountError::PasskeysMany);
        }
        self.fresh(&enrolled.challenge)?;
        let codes = (!recovery.is_empty()).then(|| RecoveryCodesSet { hashes: recovery }.into());
        Ok(std::iter::once(enrolled.into()).chain(codes).collect())
    }

    pub(crate) fn show(&self, shown: PasskeyUsed) -> Result<Vec<AccountEvent>, AccountError> {
        let passkey = self.by_id.get(&shown.passkey).ok_or(AccountError::PasskeyUnknown)?;
        self.fresh(&shown.challenge)?;
        // WebAuthn, section 6.1.1: a signature counter that does not increase indicates a cloned authenticator.
        let counts = shown.counter > 0 || passkey.counter > 0;
        if counts && shown.counter <= passkey.counter {
            return Err(AccountError::PasskeyCloned);
        }
        Ok(vec![shown.into()])
    }

    pub(crate) fn rename(&self, renamed: PasskeyRenamed) -> Result<Vec<AccountEvent>, AccountError> {
        let passkey = self.by_id.get(&renamed.passkey).ok_or(AccountError::PasskeyUnknown)?;
        Ok(if passkey.name == renamed.name { vec![] } else { vec![renamed.into()] })
    }

    pub(crate) fn remove(&self, removed: PasskeyRemoved) -> Vec<AccountEvent> {
        let there = self.by_id.contains_key(&removed.passkey);
        if there { vec![removed.into()] } else { vec![] }
    }

    pub(crate) fn remove_all(&self) -> impl Iterator<Item = AccountEvent> {
        self.by_id.keys().map(|passkey| PasskeyRemoved { passkey: passkey.clone() }.into())
    }

    fn fresh(&self, challenge: &str) -> Result<(), AccountError> {
        if self.used.contains_key(challenge) { Err(AccountError::ChallengeUsed) } else { Ok(()) }
    }

    pub(crate) fn enrolled(&mut self, enrolled: PasskeyEnrolled) {
        self.use_up(enrolled.challenge, enrolled.at);
        let passkey = Passkey {
            name: enrolled.name,
            key: enrolled.key,
            counter: enrolled.counter,
            synced: enrolled.synced,
            enrolled_at: enrolled.at,
            used_at: None,
        };
        self.by_id.insert(enrolled.passkey, passkey);
    }

    pub(crate) fn shown(&mut self, shown: PasskeyUsed) {
        self.use_up(shown.challenge, shown.at);
        if let Some(passkey) = self.by_id.get_mut(&shown.passkey) {
            (passkey.counter, passkey.used_at) = (shown.counter, Some(shown.at));
        }
    }

    fn use_up(&mut self, challenge: String, at: DateTime<Utc>) {
        self.used.insert(challenge, at + CHALLENGE_GOOD_FOR);
        let mut untils: Vec<_> = self.used.values().copied().collect();
        untils.sort_unstable();
        let last = untils.iter().rev().nth(REMEMBERED - 1).copied();
        self.used.retain(|_, until| *until > at || last.is_none_or(|last| *until >= last));
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use kernel::Aggregate as _;

    use super::*;
    use crate::{Account, AccountCommand, TotpRemoved};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn enrolled(passkey: &str, counter: u32) -> PasskeyEnrolled {
        let x = Some("A".repeat(43));
        let key =
            Jwk { kty: "EC".to_owned(), crv: Some("P-256".to_owned()), y: x.clone(), x, kid: None, n: None, e: None };
        PasskeyEnrolled {
            passkey: passkey.to_owned(),
            name: "a phone".to_owned().into(),
            key,
            counter,
            synced: false,
            challenge: format!("enrolling {passkey}"),
            at: at(0),
        }
    }

    fn shown(counter: u32, challenge: &str, minute: i64) -> PasskeyUsed {
        PasskeyUsed { passkey: "one".to_owned(), counter, challenge: challenge.to_owned(), at: at(minute) }
    }

    fn show(counter: u32, challenge: &str, minute: i64) -> AccountCommand {
        AccountCommand::ShowPasskey(shown(counter, challenge, minute))
    }

    #[test]
    fn a_passkey_is_shown_once_for_each_challenge_and_a_challenge_is_remembered_as_long_as_it_is_good() {
        let given = || {
            let events = vec![enrolled("one", 0).into(), shown(0, "a", 5).into()];
            TestFramework::<Account>::with(()).given(events)
        };
        given().when(show(0, "a", 14)).then_expect_error(AccountError::ChallengeUsed);
        given().when(show(0, "enrolling one", 6)).then_expect_error(AccountError::ChallengeUsed);
        given().when(show(0, "b", 6)).then_expect_events(vec![shown(0, "b", 6).into()]);
        let mut account = Account::default();
        for event in [enrolled("one", 0).into(), shown(0, "a", 5).into(), shown(0, "b", 15).into()] {
            account.evolve(event);
        }
        assert_eq!(account.passkeys.by_id["one"].used_at, Some(at(15)));
        for minute in 16..40 {
            account.evolve(shown(0, &minute.to_string(), minute).into());
        }
        let left: Vec<_> = account.passkeys.used.keys().cloned().collect();
        assert_eq!(
            left,
            (24..40).map(|minute| minute.to_string()).collect::<Vec<_>>(),
            "good no more, and not the last"
        );
    }

    #[test]
    fn attack_138_a_clock_that_was_ahead_has_no_challenge_forgotten_that_is_good_when_it_is_right_again() {
        TestFramework::<Account>::with(())
            .given(vec![enrolled("one", 0).into(), shown(0, "a", 5).into(), shown(0, "b", 65).into()])
            .when(show(0, "a", 7))
            .then_expect_error(AccountError::ChallengeUsed);
    }

    #[test]
    fn a_passkey_that_counts_counts_upwards() {
        let given = |counter| TestFramework::<Account>::with(()).given(vec![enrolled("one", counter).into()]);
        for counter in [0, 6, 7] {
            given(7).when(show(counter, "a", 1)).then_expect_error(AccountError::PasskeyCloned);
        }
        given(7).when(show(9, "a", 1)).then_expect_events(vec![shown(9, "a", 1).into()]);
        given(0).when(show(0, "a", 1)).then_expect_events(vec![shown(0, "a", 1).into()]);
    }

    #[test]
    fn a_passkey_is_enrolled_once_and_no_more_than_there_is_room_for() {
        let enrol =
            |passkey: &str| AccountCommand::EnrolPasskey { enrolled: Box::new(enrolled(passkey, 0)), recovery: vec![] };
        let many: Vec<AccountEvent> =
            (0..MOST_PASSKEYS).map(|number| enrolled(&number.to_string(), 0).into()).collect();
        let given = || TestFramework::<Account>::with(()).given(many.clone());
        given().when(enrol("3")).then_expect_error(AccountError::PasskeyThere);
        given().when(enrol("another")).then_expect_error(AccountError::PasskeysMany);
    }

    #[test]
    fn an_unknown_passkey_shows_nothing_and_is_not_renamed() {
        let given = || TestFramework::<Account>::with(()).given_no_previous_events();
        given().when(show(1, "a", 1)).then_expect_error(AccountError::PasskeyUnknown);
        let renamed = PasskeyRenamed { passkey: "one".to_owned(), name: "mine".to_owned().into() };
        given().when(AccountCommand::RenamePasskey(renamed)).then_expect_error(AccountError::PasskeyUnknown);
        let removed = PasskeyRemoved { passkey: "one".to_owned() };
        given().when(AccountCommand::RemovePasskey(removed)).then_expect_events(vec![]);
    }

    #[test]
    fn recovery_codes_go_with_the_last_second_factor_and_not_before() {
        let mut account = Account::default();
        let codes = RecoveryCodesSet { hashes: vec!["a".to_owned()] };
        for event in [enrolled("one", 0).into(), enrolled("two", 0).into(), codes.into(), TotpRemoved {}.into()] {
            account.evolve(event);
        }
        assert!(account.has_second_factor() && !account.recovery.is_empty(), "there are passkeys");
        account.evolve(PasskeyRemoved { passkey: "one".to_owned() }.into());
        assert!(!account.recovery.is_empty());
        account.evolve(PasskeyRemoved { passkey: "two".to_owned() }.into());
        assert!(!account.has_second_factor() && account.recovery.is_empty());
    }
}
