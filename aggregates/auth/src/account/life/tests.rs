//! Tests of the account's commands and refusals.

use cqrs_es::test::TestFramework;
use keys::{Context, DataKey, SystemRandom};
use uuid::Uuid;

use super::*;
use crate::Jwk;

#[expect(clippy::disallowed_methods, reason = "a test's tenant")]
fn sealed() -> Sealed {
    let context = Context { tenant: kernel::TenantId::vouched(Uuid::nil()), purpose: "", subject: "" };
    DataKey::new([1; 32]).seal(context, b"", &SystemRandom).unwrap()
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
}

fn requested(turn: u32, minute: i64) -> AccountEvent {
    PasswordResetRequested { turn, until: at(minute) + RESET_GOOD_FOR }.into()
}

fn by_link(password: &Sealed, turn: u32, minute: i64) -> AccountCommand {
    AccountCommand::SetPassword { password: password.clone(), by: By::Link { turn, at: at(minute) } }
}

#[test]
fn each_link_sets_the_password_within_an_hour_and_one_of_them_once() {
    let password = sealed();
    let set = |turn, minute| by_link(&password, turn, minute);
    let given = || TestFramework::<Account>::with(()).given(vec![requested(1, 0), requested(2, 10)]);
    for (turn, minute) in [(1, 59), (2, 59), (2, 69)] {
        given().when(set(turn, minute)).then_expect_events(vec![PasswordSet { password: password.clone() }.into()]);
    }
    for (turn, minute) in [(0, 11), (1, 60), (2, 70), (3, 11)] {
        given().when(set(turn, minute)).then_expect_error(AccountError::LinkUsed);
    }
    for turn in [1, 2] {
        TestFramework::<Account>::with(())
            .given(vec![requested(1, 0), requested(2, 10), PasswordSet { password: password.clone() }.into()])
            .when(set(turn, 11))
            .then_expect_error(AccountError::LinkUsed);
    }
}

#[test]
fn a_link_that_was_mailed_before_all_sessions_ended_sets_no_password() {
    let password = sealed();
    let ended = SessionsEnded { at: at(5), reason: "lost a phone".to_owned(), era: Some(0) };
    let given =
        || TestFramework::<Account>::with(()).given(vec![requested(1, 0), ended.clone().into(), requested(2, 6)]);
    given().when(by_link(&password, 1, 7)).then_expect_error(AccountError::LinkUsed);
    given().when(by_link(&password, 2, 7)).then_expect_events(vec![PasswordSet { password: password.clone() }.into()]);
    // After all sessions ended, a new link can be requested without waiting.
    TestFramework::<Account>::with(())
        .given(vec![requested(1, 0), ended.into()])
        .when(AccountCommand::RequestReset { at: at(6) })
        .then_expect_events(vec![requested(2, 6)]);
}

#[test]
fn a_link_of_a_clock_that_was_ahead_is_good_until_the_next_one_is_mailed() {
    let password = sealed();
    let given = |events: Vec<AccountEvent>| TestFramework::<Account>::with(()).given(events);
    given(vec![requested(1, 600)])
        .when(by_link(&password, 1, 100))
        .then_expect_events(vec![PasswordSet { password: password.clone() }.into()]);
    given(vec![requested(1, 600), requested(2, 10)])
        .when(by_link(&password, 1, 11))
        .then_expect_error(AccountError::LinkUsed);
}

#[test]
fn nobody_is_mailed_a_second_link_at_once() {
    let given = || {
        let requested = PasswordResetRequested { turn: 1, until: at(0) + RESET_GOOD_FOR };
        TestFramework::<Account>::with(()).given(vec![requested.into()])
    };
    given().when(AccountCommand::RequestReset { at: at(9) }).then_expect_events(vec![]);
    given()
        .when(AccountCommand::RequestReset { at: at(10) })
        .then_expect_events(vec![PasswordResetRequested { turn: 2, until: at(10) + RESET_GOOD_FOR }.into()]);
}

#[test]
fn a_clock_that_was_ahead_keeps_nobody_from_a_link() {
    let ahead = PasswordResetRequested { turn: 1, until: at(60) + RESET_GOOD_FOR };
    TestFramework::<Account>::with(())
        .given(vec![ahead.into()])
        .when(AccountCommand::RequestReset { at: at(1) })
        .then_expect_events(vec![PasswordResetRequested { turn: 2, until: at(1) + RESET_GOOD_FOR }.into()]);
}

#[test]
fn an_address_that_nobody_has_shown_to_be_theirs_opens_a_fresh_account_only() {
    let mut account = Account::default();
    assert!(account.opens_by_mail(true) && account.opens_by_mail(false));
    account.evolve(PasswordResetRequested { turn: 1, until: at(60) }.into());
    account.evolve(SessionsEnded { at: at(1), reason: "roles_changed".to_owned(), era: None }.into());
    assert!(account.opens_by_mail(false), "asking once is no sign that somebody came in");
    let (client, session) = (ClientId::new(Uuid::from_u128(1)), SessionId::new(Uuid::from_u128(2)));
    let came_in: [AccountEvent; 5] = [
        PasswordSet { password: sealed() }.into(),
        TotpEnrolled { secret: sealed(), step: 1 }.into(),
        ClientJoined { client, session, at: at(2) }.into(),
        ConsentGiven { client, scope: vec!["openid".to_owned()] }.into(),
        AccountEntered {}.into(),
    ];
    for event in came_in {
        let mut account = account.clone();
        account.evolve(event.clone());
        assert!(account.opens_by_mail(true) && !account.opens_by_mail(false), "{event:?}");
    }
    account.evolve(AccountClosed { at: at(3) }.into());
    assert!(!account.opens_by_mail(true) && !account.opens_by_mail(false));
}

#[test]
fn an_invitation_sets_the_first_password_only() {
    let password = sealed();
    TestFramework::<Account>::with(())
        .given(vec![PasswordSet { password: password.clone() }.into()])
        .when(AccountCommand::SetPassword { password, by: By::Invitation })
        .then_expect_error(AccountError::LinkUsed);
}

fn passkey() -> PasskeyEnrolled {
    let x = Some("A".repeat(43));
    let key = Jwk { kty: "EC".to_owned(), crv: Some("P-256".to_owned()), y: x.clone(), x, kid: None, n: None, e: None };
    PasskeyEnrolled {
        passkey: "one".to_owned(),
        name: "a phone".to_owned().into(),
        key,
        counter: 0,
        synced: false,
        challenge: "enrolling".to_owned(),
        at: at(0),
    }
}

/// A sealed value that differs from `sealed`.
#[expect(clippy::disallowed_methods, reason = "a test's tenant")]
fn sealed_anew() -> Sealed {
    let context = Context { tenant: kernel::TenantId::vouched(Uuid::nil()), purpose: "", subject: "" };
    DataKey::new([2; 32]).seal(context, b"", &SystemRandom).unwrap()
}

#[test]
fn who_shows_the_old_password_sets_a_new_one_while_it_is_theirs_still() {
    let (first, second, third) = (sealed(), sealed_anew(), sealed());
    let given = |passwords: Vec<&Sealed>| {
        let set = passwords.into_iter().map(|password| PasswordSet { password: password.clone() }.into());
        TestFramework::<Account>::with(()).given(set.collect())
    };
    let by_first = || {
        let by = By::Password { shown: first.clone() };
        AccountCommand::SetPassword { password: third.clone(), by }
    };
    given(vec![&first]).when(by_first()).then_expect_events(vec![PasswordSet { password: third.clone() }.into()]);
    given(vec![&first, &second]).when(by_first()).then_expect_error(AccountError::PasswordChanged);
    given(vec![]).when(by_first()).then_expect_error(AccountError::PasswordChanged);
}

#[test]
fn an_account_is_taken_over_only_when_nobody_can_come_in_by_it_otherwise_and_all_that_was_theirs_ends() {
    let take_over = || AccountCommand::TakeOver { at: at(9) };
    let given = |events: Vec<AccountEvent>| TestFramework::<Account>::with(()).given(events);
    given(vec![]).when(take_over()).then_expect_events(vec![AccountEntered {}.into()]);
    given(vec![PasswordSet { password: sealed() }.into()]).when(take_over()).then_expect_error(AccountError::InUse);
    given(vec![passkey().into()]).when(take_over()).then_expect_error(AccountError::InUse);
    let client = ClientId::new(Uuid::from_u128(1));
    // An authenticator does not suffice to sign in, so it does not prevent the takeover, and stays required.
    let before: Vec<AccountEvent> = vec![
        AccountEntered {}.into(),
        TotpEnrolled { secret: sealed(), step: 1 }.into(),
        PasswordResetRequested { turn: 1, until: at(60) }.into(),
        ConsentGiven { client, scope: vec!["api".to_owned()] }.into(),
    ];
    let ended: AccountEvent = SessionsEnded { at: at(9), reason: "taken_over".to_owned(), era: Some(0) }.into();
    let taken: Vec<AccountEvent> = vec![ConsentWithdrawn { client, at: at(9) }.into(), ended, AccountEntered {}.into()];
    given(before.clone()).when(take_over()).then_expect_events(taken.clone());
    // Afterwards, neither an earlier link nor an invitation can set a password.
    for by in [By::Link { turn: 1, at: at(10) }, By::Invitation] {
        given([before.clone(), taken.clone()].concat())
            .when(AccountCommand::SetPassword { password: sealed(), by })
            .then_expect_error(AccountError::LinkUsed);
    }
}

#[test]
fn a_code_works_once_and_so_does_a_recovery_code() {
    let enrolled = || {
        let secret = sealed();
        let codes = RecoveryCodesSet { hashes: vec!["a".to_owned(), "b".to_owned()] };
        vec![TotpEnrolled { secret, step: 7 }.into(), codes.into()]
    };
    let given = || TestFramework::<Account>::with(()).given(enrolled());
    given().when(AccountCommand::UseTotp { step: 7 }).then_expect_error(AccountError::CodeUsed);
    given().when(AccountCommand::UseTotp { step: 8 }).then_expect_events(vec![TotpUsed { step: 8 }.into()]);
    given().when(AccountCommand::UseRecoveryCode { hash: "c".to_owned() }).then_expect_error(AccountError::CodeUsed);
    let used = RecoveryCodeUsed { hash: "a".to_owned() };
    given()
        .when(AccountCommand::UseRecoveryCode { hash: "a".to_owned() })
        .then_expect_events(vec![used.clone().into()]);
    TestFramework::<Account>::with(())
        .given([enrolled(), vec![used.into()]].concat())
        .when(AccountCommand::UseRecoveryCode { hash: "a".to_owned() })
        .then_expect_error(AccountError::CodeUsed);
    TestFramework::<Account>::with(())
        .given_no_previous_events()
        .when(AccountCommand::UseTotp { step: 8 })
        .then_expect_error(AccountError::CodeUsed);
}

#[test]
fn what_began_before_all_sessions_ended_has_ended() {
    let mut account = Account::default();
    let stands = |account: &Account, minute| account.is_still_valid(Moment { at: at(minute), era: None });
    assert!(stands(&account, 1));
    account.evolve(SessionsEnded { at: at(5), reason: "locked".to_owned(), era: None }.into());
    assert!(!stands(&account, 5) && stands(&account, 6));
    account.evolve(AccountClosed { at: at(7) }.into());
    assert!(!stands(&account, 8), "closed is for ever");
}

#[test]
fn no_clock_says_what_ended_with_all_sessions() {
    let end = || AccountCommand::EndSessions { at: at(5), reason: "locked".to_owned() };
    let ended = |era| AccountEvent::from(SessionsEnded { at: at(5), reason: "locked".to_owned(), era });
    let given = |events: Vec<AccountEvent>| TestFramework::<Account>::with(()).given(events);
    given(vec![]).when(end()).then_expect_events(vec![ended(Some(0))]);
    given(vec![ended(Some(0))]).when(end()).then_expect_events(vec![ended(Some(1))]);
    given(vec![ended(None), ended(None)]).when(end()).then_expect_events(vec![ended(Some(2))]);

    let mut account = Account::default();
    let stands = |account: &Account, minute, era| account.is_still_valid(Moment { at: at(minute), era });
    assert!(stands(&account, 60, Some(0)) && stands(&account, 60, None));
    account.evolve(ended(Some(0)));
    assert!(!stands(&account, 60, Some(0)), "begun by a clock that was ahead");
    assert!(stands(&account, 5, account.moment(at(5)).era), "or afterwards, as soon as can be");
    assert!(stands(&account, 1, Some(1)), "or, after it, by one that was behind");
    assert!(!stands(&account, 5, None) && stands(&account, 6, None), "of before it was counted");
    account.evolve(AccountClosed { at: at(7) }.into());
    assert!(!stands(&account, 8, Some(1)) && !stands(&account, 8, None));
}

#[test]
fn a_client_that_was_given_something_by_a_clock_that_was_ahead_listened_when_all_sessions_ended() {
    let joined = |number: u128, minute| {
        let (client, session) = (ClientId::new(Uuid::from_u128(number)), SessionId::new(Uuid::from_u128(number)));
        AccountEvent::from(ClientJoined { client, session, at: at(minute) })
    };
    let ended = SessionsEnded { at: at(5), reason: "locked".to_owned(), era: Some(0) };
    let mut account = Account::default();
    for event in [joined(1, 60), ended.clone().into(), joined(2, 4)] {
        account.evolve(event);
    }
    assert_eq!(account.listeners.until(ended.ended()).collect::<Vec<_>>(), [ClientId::new(Uuid::from_u128(1))]);
}

#[test]
fn a_closed_account_takes_no_password() {
    TestFramework::<Account>::with(())
        .given(vec![AccountClosed { at: at(1) }.into()])
        .when(AccountCommand::SetPassword { password: sealed(), by: By::Password { shown: sealed() } })
        .then_expect_error(AccountError::Closed);
}

#[test]
fn a_closed_account_is_erased_once_and_remembers_nobody() {
    let client = ClientId::new(Uuid::from_u128(1));
    let closed = || vec![AccountClosed { at: at(1) }.into()];
    let erased: AccountEvent = AccountErased { at: at(2) }.into();
    let erase = || AccountCommand::Erase { at: at(2) };
    TestFramework::<Account>::with(()).given(closed()).when(erase()).then_expect_events(vec![erased.clone()]);
    TestFramework::<Account>::with(())
        .given_no_previous_events()
        .when(erase())
        .then_expect_events(vec![erased.clone()]);
    TestFramework::<Account>::with(()).given(vec![erased.clone()]).when(erase()).then_expect_events(vec![]);
    TestFramework::<Account>::with(())
        .given(vec![erased.clone()])
        .when(AccountCommand::Close { at: at(3) })
        .then_expect_events(vec![]);
    let mut account = Account::default();
    account.evolve(ConsentGiven { client, scope: vec!["openid".to_owned()] }.into());
    account.evolve(erased);
    assert!(account.closed && account.consents.is_empty() && !account.is_still_valid(account.moment(at(9))));
}

#[test]
fn consent_covers_what_was_consented_to_until_it_is_withdrawn() {
    let client = ClientId::new(Uuid::from_u128(1));
    let mut account = Account::default();
    account.evolve(ConsentGiven { client, scope: vec!["openid".to_owned(), "email".to_owned()] }.into());
    assert!(account.consented(client, &["email".to_owned()]));
    assert!(!account.consented(client, &["email".to_owned(), "api".to_owned()]));
    account.evolve(ConsentWithdrawn { client, at: at(3) }.into());
    assert!(!account.consented(client, &["email".to_owned()]));
    let lets = |account: &Account, minute, era| account.is_consent_valid(client, Moment { at: at(minute), era });
    assert!(!lets(&account, 3, None) && lets(&account, 4, None), "of before it was counted");
    assert!(!lets(&account, 60, Some(0)), "granted by a clock that was ahead");
    assert!(lets(&account, 1, account.consent_moment(client, at(1)).era), "or anew, by one that was behind");
    account.evolve(ConsentWithdrawn { client, at: at(2) }.into());
    assert!(!lets(&account, 60, Some(1)) && lets(&account, 60, Some(2)));
    assert!(account.is_consent_valid(ClientId::new(Uuid::from_u128(9)), account.moment(at(1))), "another client");
}
