use cqrs_es::test::TestFramework;
use kernel::{Picture, PostalAddress};
use uuid::Uuid;

use super::*;
use crate::{CodeFault, Label};

fn login(email: &str) -> Login {
    Login { email: email.to_owned().into(), user_name: None }
}

fn registered(roles: &[&str]) -> UserEvent {
    UserRegistered {
        login: login("ada@example.com"),
        email_verified: false,
        profile: Profile { name: "Ada Lovelace".to_owned().into(), ..Profile::default() },
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        groups: vec![],
        invitation: None,
    }
    .into()
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn requested(turn: u32, expires_at: i64) -> UserEvent {
    UserEmailVerificationRequested { turn, expires_at: at(expires_at) }.into()
}

fn given(mut events: Vec<UserEvent>) -> cqrs_es::test::AggregateTestExecutor<User> {
    events.insert(0, registered(&["member"]));
    TestFramework::<User>::with(()).given(events)
}

fn refused(events: Vec<UserEvent>, command: UserCommand, step: UserStep, status: UserStatus) {
    given(events).when(command).then_expect_error(UserError::StepNotAllowed { step, status });
}

#[test]
fn what_a_provider_says_besides_is_kept_as_it_says_it() {
    let labels = |purpose: &str| Labels {
        formatted_name: Some("Ada King, Countess of Lovelace".to_owned().into()),
        email: Label { purpose: Some(purpose.to_owned().into()), primary: Some(false) },
        ..Labels::default()
    };
    let change = |labels: Labels| UserCommand::ChangeLabels { labels };
    let changed = |labels: Labels| UserLabelsChanged { labels }.into();
    given(vec![]).when(change(Labels::default())).then_expect_events(vec![]);
    given(vec![]).when(change(labels("home"))).then_expect_events(vec![changed(labels("home"))]);
    given(vec![changed(labels("home"))]).when(change(labels("home"))).then_expect_events(vec![]);
    given(vec![changed(labels("home"))])
        .when(change(Labels::default()))
        .then_expect_events(vec![changed(Labels::default())]);
    refused(vec![UserRemoved {}.into()], change(labels("home")), UserStep::Change, UserStatus::Removed);
    assert_eq!(serde_json::to_string(&Labels::default()).unwrap(), "{}");
}

#[test]
fn an_address_is_written_out_as_a_provider_says_it_until_it_is_another_one() {
    let profile = |street: &str| {
        let address = PostalAddress { street: Some(street.to_owned()), ..PostalAddress::default() };
        Profile { name: "Ada".to_owned().into(), address: Some(address.into()), ..Profile::default() }
    };
    let change = |street: &str| UserCommand::ChangeProfile { profile: profile(street) };
    let moved = |street: &str| UserEvent::from(UserProfileChanged { profile: profile(street) });
    let label = || UserCommand::ChangeLabels { labels: written_out() };
    let labelled = || UserEvent::from(UserLabelsChanged { labels: written_out() });
    let at_home = || vec![moved("12 St James's Square"), labelled()];
    given(at_home()).when(change("12 St James's Square")).then_expect_events(vec![]);
    given(at_home()).when(label()).then_expect_events(vec![]);
    // The formatted address belonged to the old address. If the provider sends it again, it is recorded for the new one.
    let away = [at_home(), vec![moved("Ockham Park")]].concat();
    given(at_home()).when(change("Ockham Park")).then_expect_events(vec![moved("Ockham Park")]);
    given(away.clone()).when(label()).then_expect_events(vec![labelled()]);
    let mut user = User::default();
    for event in std::iter::once(registered(&[])).chain(away) {
        user.evolve(event);
    }
    assert_eq!(user.labels, Labels { formatted_address: None, ..written_out() });
    user.evolve(UserErased {}.into());
    assert_eq!(user, User { status: UserStatus::Erased, ..User::default() });
}

fn uploaded(id: &str, sha256: &str) -> UploadedPicture {
    UploadedPicture { id: id.to_owned(), picture: Picture { sha256: sha256.to_owned(), ..Picture::default() } }
}

#[test]
fn a_picture_is_uploaded_or_elsewhere_and_what_changes_nothing_is_no_event() {
    let at = DateTime::UNIX_EPOCH;
    let set = |id: &str, sha256: &str| UserCommand::SetPicture { uploaded: uploaded(id, sha256), at };
    let was_set =
        |id: &str, sha256: &str| UserEvent::from(UserPictureSet { uploaded: uploaded(id, sha256).into(), at });
    let profile = |picture: Option<&str>| Profile {
        name: "Ada Lovelace".to_owned().into(),
        picture: picture.map(|picture| picture.to_owned().into()),
        ..Profile::default()
    };
    let elsewhere = || UserEvent::from(UserProfileChanged { profile: profile(Some("https://example.com/ada.png")) });
    let removed = || UserEvent::from(UserPictureRemoved {});
    given(vec![]).when(set("1", "a")).then_expect_events(vec![was_set("1", "a")]);
    given(vec![was_set("1", "a")]).when(set("2", "a")).then_expect_events(vec![]);
    given(vec![was_set("1", "a")]).when(set("2", "b")).then_expect_events(vec![was_set("2", "b")]);
    // An external picture replaces an uploaded one, and then the same upload is recorded as a new one.
    given(vec![was_set("1", "a"), elsewhere()]).when(set("2", "a")).then_expect_events(vec![was_set("2", "a")]);
    for with_one in [vec![was_set("1", "a")], vec![elsewhere()], vec![was_set("1", "a"), elsewhere()]] {
        given(with_one).when(UserCommand::RemovePicture).then_expect_events(vec![removed()]);
    }
    for without in [vec![], vec![was_set("1", "a"), removed()], vec![elsewhere(), removed()]] {
        given(without).when(UserCommand::RemovePicture).then_expect_events(vec![]);
    }
    refused(vec![UserRemoved {}.into()], set("1", "a"), UserStep::Change, UserStatus::Removed);
    refused(vec![UserRemoved {}.into()], UserCommand::RemovePicture, UserStep::Change, UserStatus::Removed);

    let after = |events: Vec<UserEvent>| {
        let mut user = User::default();
        std::iter::once(registered(&[])).chain(events).for_each(|event| user.evolve(event));
        (user.uploaded().map(str::to_owned), user.profile.picture.is_some())
    };
    let has = |id: &str| (Some(id.to_owned()), false);
    assert_eq!(after(vec![elsewhere(), was_set("1", "a")]), has("1"));
    let renamed = UserProfileChanged { profile: profile(None) }.into();
    assert_eq!(after(vec![was_set("1", "a"), renamed]), has("1"), "another name is no other picture");
    assert_eq!(after(vec![was_set("1", "a"), elsewhere()]), (None, true));
    for end in [removed(), UserRemoved {}.into(), UserErased {}.into()] {
        assert_eq!(after(vec![was_set("1", "a"), end]), (None, false));
    }
    // Of a picture that can't be decrypted any more, the fact that there was one stays known.
    let forgotten = UserPictureSet { uploaded: Personal::forgotten(), at }.into();
    assert_eq!(after(vec![elsewhere(), forgotten]), (None, false));
}

#[test]
fn at_most_twenty_pictures_of_a_user_are_uploaded_within_a_day() {
    let hour = |hour| DateTime::UNIX_EPOCH + TimeDelta::hours(hour);
    let set = |nth: i64, at| UserCommand::SetPicture { uploaded: uploaded("id", &nth.to_string()), at };
    let mut history: Vec<UserEvent> = vec![];
    for nth in 0..20 {
        history.push(UserPictureSet { uploaded: uploaded("id", &nth.to_string()).into(), at: hour(nth) }.into());
        history.push(UserPictureRemoved {}.into());
    }
    given(history.clone()).when(set(20, hour(23))).then_expect_error(UserError::TooManyPictures { wait: 3_601 });
    let set_again = UserPictureSet { uploaded: uploaded("id", "20").into(), at: hour(24) };
    given(history).when(set(20, hour(24))).then_expect_events(vec![set_again.into()]);
}

#[test]
fn nothing_of_a_picture_is_written_that_is_not_marked_and_the_state_has_no_file() {
    let mut uploaded = uploaded("an-id", "a-hash");
    uploaded.picture.base64 = "a-file".to_owned();
    let set = UserPictureSet { uploaded: uploaded.into(), at: DateTime::UNIX_EPOCH };
    let written = kernel::personal::marked(|| serde_json::to_value(&set)).unwrap();
    assert_eq!(written["uploaded"].as_object().unwrap().keys().collect::<Vec<_>>(), ["personal"], "{written}");
    let mut user = User::default();
    user.evolve(set.into());
    let state = kernel::personal::marked(|| serde_json::to_value(&user)).unwrap();
    assert_eq!(state["upload"]["personal"], serde_json::json!({ "id": "an-id", "sha256": "a-hash" }));
    assert!(!state.to_string().contains("a-file"), "{state}");
}

/// A provider's labels for an address.
fn written_out() -> Labels {
    let address = Label { purpose: Some("home".to_owned().into()), primary: Some(false) };
    Labels { formatted_address: Some("Ada's house".to_owned().into()), address, ..Labels::default() }
}

#[test]
fn events_of_before_somebody_had_an_address_are_read() {
    let profile = r#"{"profile":{"name":"Ada","phone":"+4930123456"}}"#;
    let changed: UserProfileChanged = serde_json::from_str(profile).unwrap();
    assert_eq!((changed.profile.address, changed.profile.phone.is_some()), (None, true));
    let labels = r#"{"labels":{"formatted_name":"Ada King","email":{"primary":false}}}"#;
    let labelled: UserLabelsChanged = serde_json::from_str(labels).unwrap();
    assert_eq!((labelled.labels.formatted_address, labelled.labels.address), (None, Label::default()));
}

#[test]
fn lock_deactivate_remove_and_erase_are_four_different_things() {
    let locked = || UserLocked { reason: "phishing".to_owned() }.into();
    let deactivated = || UserDeactivated { reason: None }.into();
    given(vec![locked()]).when(UserCommand::Unlock).then_expect_events(vec![UserUnlocked {}.into()]);
    refused(vec![locked()], UserCommand::Reactivate, UserStep::Reactivate, UserStatus::Locked);
    given(vec![deactivated()]).when(UserCommand::Reactivate).then_expect_events(vec![UserReactivated {}.into()]);
    refused(vec![deactivated()], UserCommand::Unlock, UserStep::Unlock, UserStatus::Deactivated);
    // A user who was locked before the deactivation is locked again after the reactivation.
    let back: Vec<UserEvent> =
        vec![UserLocked { reason: String::new() }.into(), deactivated(), UserReactivated {}.into()];
    given(back.clone()).when(UserCommand::Unlock).then_expect_events(vec![UserUnlocked {}.into()]);
    refused(back, UserCommand::RequestEmailVerification { expires_at: at(0) }, UserStep::Verify, UserStatus::Locked);
    let removed = || UserRemoved {}.into();
    for (command, step) in [
        (UserCommand::Unlock, UserStep::Unlock),
        (UserCommand::Reactivate, UserStep::Reactivate),
        (UserCommand::Lock { reason: String::new() }, UserStep::Lock),
        (UserCommand::Deactivate { reason: None }, UserStep::Deactivate),
    ] {
        refused(vec![removed()], command, step, UserStatus::Removed);
    }
    given(vec![removed()]).when(UserCommand::Erase).then_expect_events(vec![UserErased {}.into()]);
    refused(vec![removed(), UserErased {}.into()], UserCommand::Remove, UserStep::Remove, UserStatus::Erased);
}

#[test]
fn an_address_is_shown_by_what_was_mailed_to_it_and_by_nothing_that_was_mailed_to_another_one() {
    let show = |email: &str| UserCommand::ShowEmail { email: email.to_owned() };
    let verified = || UserEmailVerified {}.into();
    given(vec![]).when(show("ada@example.com")).then_expect_events(vec![verified()]);
    given(vec![verified()]).when(show("ada@example.com")).then_expect_events(vec![]);
    let moved = || UserLoginChanged { login: login("ada@example.org") }.into();
    given(vec![moved()]).when(show("ada@example.com")).then_expect_error(UserError::Link);
    given(vec![verified(), moved()]).when(show("ada@example.com")).then_expect_error(UserError::Link);
    let locked = UserLocked { reason: "phishing".to_owned() }.into();
    refused(vec![locked], show("ada@example.com"), UserStep::Verify, UserStatus::Locked);
}

#[test]
fn nobody_is_told_at_once_again_that_an_account_was_asked_for_with_their_address() {
    let note = |minute: i64| UserCommand::NoteRegistration { at: at(minute * 60), pause: TimeDelta::minutes(10) };
    let noted = |minute: i64| UserRegistrationNoted { at: at(minute * 60) }.into();
    given(vec![]).when(note(1)).then_expect_events(vec![noted(1)]);
    given(vec![noted(1)]).when(note(10)).then_expect_events(vec![]);
    given(vec![noted(1)]).when(note(11)).then_expect_events(vec![noted(11)]);
    // A time in the future, from a clock that was ahead, does not delay the next mail.
    given(vec![noted(60)]).when(note(1)).then_expect_events(vec![noted(1)]);
}

#[test]
fn what_changes_nothing_is_no_event() {
    for (events, command) in [
        (vec![], UserCommand::Unlock),
        (vec![], UserCommand::Reactivate),
        (vec![], UserCommand::GrantRole { role: "member".to_owned() }),
        (vec![], UserCommand::RevokeRole { role: "admin".to_owned() }),
        (vec![], UserCommand::LeaveGroup { group: GroupId::new(Uuid::nil()) }),
        (vec![], UserCommand::ChangeLogin { login: login("ada@example.com") }),
        (vec![UserRemoved {}.into()], UserCommand::Remove),
        (vec![UserErased {}.into()], UserCommand::Erase),
        (vec![UserEmailVerified {}.into()], UserCommand::VerifyEmail { turn: 1, at: at(0) }),
    ] {
        given(events).when(command).then_expect_events(vec![]);
    }
}

#[test]
fn only_the_last_link_verifies_an_address_and_only_in_its_time() {
    let verify = |turn, second| UserCommand::VerifyEmail { turn, at: at(second) };
    let failed = |turn, reason| vec![UserEmailVerificationFailed { turn: Some(turn), reason }.into()];
    let sent = || vec![requested(1, 100), requested(2, 200)];
    given(sent()).when(verify(2, 199)).then_expect_events(vec![UserEmailVerified {}.into()]);
    given(sent()).when(verify(1, 50)).then_expect_events(failed(1, LinkFault::Superseded));
    given(sent()).when(verify(2, 200)).then_expect_events(failed(2, LinkFault::Expired));
    let once = [sent(), failed(1, LinkFault::Superseded)].concat();
    given(once).when(verify(1, 50)).then_expect_events(vec![]);
    let moved = || UserLoginChanged { login: login("ada@other.example") }.into();
    given(vec![requested(1, 100), moved()]).when(verify(1, 50)).then_expect_events(failed(1, LinkFault::Superseded));
}

#[test]
fn a_new_address_is_not_verified_and_the_same_one_stays_so() {
    let mut user = User::default();
    for event in [registered(&[]), UserEmailVerified {}.into()] {
        user.evolve(event);
    }
    let named = Login { user_name: Some("ada".to_owned().into()), ..login("ada@example.com") };
    user.evolve(UserLoginChanged { login: named }.into());
    assert!(user.email_verified);
    user.evolve(UserLoginChanged { login: login("ada@other.example") }.into());
    assert!(!user.email_verified);
}

#[test]
fn the_address_that_was_verified_last_is_known_until_another_one_is_verified() {
    let verified = |events: &[UserEvent]| {
        let mut user = User::default();
        for event in std::iter::once(registered(&[])).chain(events.iter().cloned()) {
            user.evolve(event);
        }
        user.verified_email.map(Personal::into_inner)
    };
    let (shown, moved) = (UserEmailVerified {}.into(), UserLoginChanged { login: login("eve@example.com") }.into());
    let events: [UserEvent; 4] = [shown, moved, UserEmailVerified {}.into(), UserErased {}.into()];
    let known: Vec<_> = (0..=events.len()).map(|many| verified(&events[..many])).collect();
    let [ada, eve] = ["ada@example.com", "eve@example.com"].map(|address| Some(address.to_owned()));
    assert_eq!(known, [None, ada.clone(), ada, eve, None]);
}

#[test]
fn an_address_in_another_form_of_its_characters_is_the_same_one() {
    let mut user = User::default();
    user.evolve(registered(&[]));
    // As stored before addresses were normalized to Unicode's composed form.
    user.evolve(UserLoginChanged { login: login("rene\u{301}@example.com") }.into());
    user.evolve(UserEmailVerified {}.into());
    user.evolve(UserLoginChanged { login: login("ren\u{e9}@example.com") }.into());
    assert!(user.email_verified);
    assert_eq!(user.login, login("ren\u{e9}@example.com"));
}

#[test]
fn an_owner_is_an_administrator_who_may_sign_in() {
    let mut user = User::default();
    user.evolve(registered(&["admin"]));
    assert!(user.is_owner());
    user.evolve(UserLocked { reason: String::new() }.into());
    assert!(!user.is_owner());
    user.evolve(UserUnlocked {}.into());
    user.evolve(UserRoleRevoked { role: "admin".to_owned() }.into());
    assert!(!user.is_owner());
}

#[test]
fn an_erased_user_tells_nothing() {
    let mut user = User::default();
    for event in [registered(&["admin"]), requested(1, 100), UserErased {}.into()] {
        user.evolve(event);
    }
    assert_eq!(user, User { status: UserStatus::Erased, links: 1, ..User::default() });
}

#[test]
fn a_user_has_so_many_groups_and_no_more() {
    let groups = (0..MOST_MEMBERSHIPS as u128).map(|n| UserGroupJoined { group: GroupId::new(Uuid::from_u128(n)) });
    given(groups.map(Into::into).collect())
        .when(UserCommand::JoinGroup { group: GroupId::new(Uuid::max()) })
        .then_expect_error(UserError::TooMany { what: "groups" });
}

fn minute(minute: i64) -> DateTime<Utc> {
    at(minute * 60)
}

/// A user with a number to which codes were sent at these minutes.
fn texted(minutes: &[i64]) -> Vec<UserEvent> {
    let mut events = vec![numbered("+4930123456")];
    events.extend(minutes.iter().zip(1..).map(|(at, turn)| {
        let (at, expires_at) = (minute(*at), minute(*at + 10));
        UserPhoneVerificationRequested { turn, at, expires_at }.into()
    }));
    events
}

fn numbered(phone: &str) -> UserEvent {
    let profile = Profile { name: "Ada".to_owned().into(), phone: Some(phone.to_owned().into()), ..Profile::default() };
    UserProfileChanged { profile }.into()
}

fn enter(right: bool, at: i64) -> UserCommand {
    UserCommand::VerifyPhone { right, at: minute(at) }
}

#[test]
fn a_code_shows_whose_number_it_is_for_ten_minutes_once() {
    let ask = |at| UserCommand::RequestPhoneVerification { at: minute(at) };
    given(vec![]).when(ask(0)).then_expect_error(UserError::NoPhone);
    given(texted(&[])).when(ask(0)).then_expect_events(vec![texted(&[0])[1].clone()]);
    given(texted(&[])).when(enter(true, 0)).then_expect_error(UserError::Code);
    let verified = || UserEvent::from(UserPhoneVerified {});
    given(texted(&[0])).when(enter(true, 9)).then_expect_events(vec![verified()]);
    let expired = UserPhoneVerificationFailed { turn: 1, reason: CodeFault::Expired }.into();
    given(texted(&[0])).when(enter(true, 10)).then_expect_events(vec![expired]);
    let mut done = texted(&[0]);
    done.push(verified());
    given(done.clone()).when(enter(true, 1)).then_expect_error(UserError::PhoneVerified);
    given(done.clone()).when(ask(1)).then_expect_error(UserError::PhoneVerified);
    // Setting the same number again keeps the verification; another number does not.
    done.push(numbered("+4930123456"));
    given(done.clone()).when(ask(5)).then_expect_error(UserError::PhoneVerified);
    done.push(numbered("+4930123457"));
    given(done.clone()).when(enter(true, 5)).then_expect_error(UserError::Code);
    given(done).when(ask(5)).then_expect_events(vec![
        UserPhoneVerificationRequested { turn: 2, at: minute(5), expires_at: minute(15) }.into(),
    ]);
    let locked = UserLocked { reason: "phishing".to_owned() }.into();
    refused(vec![numbered("+4930123456"), locked], ask(0), UserStep::VerifyPhone, UserStatus::Locked);
}

#[test]
fn a_code_that_was_tried_too_often_is_not_right_any_more_and_leaves_no_more_records() {
    let wrong = || UserEvent::from(UserPhoneVerificationFailed { turn: 1, reason: CodeFault::Wrong });
    let mut tried = texted(&[0]);
    for _ in 0..5 {
        given(tried.clone()).when(enter(false, 1)).then_expect_events(vec![wrong()]);
        tried.push(wrong());
    }
    given(tried.clone()).when(enter(false, 1)).then_expect_error(UserError::Code);
    given(tried.clone()).when(enter(true, 1)).then_expect_error(UserError::Code);
    // A new code is accepted.
    tried.push(UserPhoneVerificationRequested { turn: 2, at: minute(2), expires_at: minute(12) }.into());
    given(tried).when(enter(true, 3)).then_expect_events(vec![UserPhoneVerified {}.into()]);
}

#[test]
fn a_user_has_a_few_codes_sent_in_an_hour_and_a_day_whatever_the_number_is() {
    let ask = |events: Vec<UserEvent>, at: i64, wait: Option<i64>| {
        let turn = u32::try_from(events.len()).unwrap();
        let then = given(events).when(UserCommand::RequestPhoneVerification { at: minute(at) });
        match wait {
            Some(minutes) => then.then_expect_error(UserError::TooManyCodes { wait: minutes * 60 + 1 }),
            None => then.then_expect_events(vec![
                UserPhoneVerificationRequested { turn, at: minute(at), expires_at: minute(at + 10) }.into(),
            ]),
        }
    };
    ask(texted(&[0]), 0, Some(1));
    ask(texted(&[0]), 1, None);
    ask(texted(&[0, 2, 4, 6, 8]), 10, Some(50));
    ask(texted(&[0, 2, 4, 6, 8]), 60, None);
    let day = [0, 20, 40, 60, 80, 100, 120, 140, 160, 180];
    ask(texted(&day), 1_000, Some(440));
    ask(texted(&day), 1_440, None);
    // A code sent by a clock that was ahead counts towards the limits once its time is reached.
    ask(texted(&[60]), 0, None);
    ask(texted(&[60, 0]), 0, Some(1));
    ask(texted(&[60, 0, 2, 4, 6]), 8, None);
    ask(texted(&[60, 0, 52, 54, 56]), 60, Some(1));
    ask(texted(&[60, 50, 52, 54, 56]), 61, Some(49));
    let mut moved = texted(&[0, 2, 4, 6, 8]);
    moved.push(numbered("+4930123457"));
    given(moved)
        .when(UserCommand::RequestPhoneVerification { at: minute(10) })
        .then_expect_error(UserError::TooManyCodes { wait: 3_001 });
}
