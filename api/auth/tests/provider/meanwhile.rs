//! Races: decisions on state that changes at the same time. The numbers are those of docs/src/threat-model.md.

use auth_aggregates::{GrantKind, GrantTerms, Jwk, Place, SamlConnectionId, SamlSignIn, SessionId};
use auth_commands::{
    AskForDevice, ConfirmSession, DecideDevice, EndSessions, EnrolPasskey, ForestallEnding, LetDeviceIn, OpenGrant,
    Reach, StartSession, Within, protocol,
};
use chrono::TimeDelta;
use executor::Command;
use face::Person;
use kernel::{Caller, IdSource, Refusal, SystemIds, UserId};
use reqwest::StatusCode;
use serde_json::json;
use testbed::Browser;

use crate::idp::{ADA, Words, finish_sign_in};
use crate::saml_attacks::connected;
use crate::second_factor::AuthenticatorUser;
use crate::world::{App, PASSWORD, Visits, World};

const MINE: &str = "umbrella-cactus-violin";
const THEIRS: &str = "another-good-violin-walk";

impl World {
    /// Runs a command while all sessions of the user end. It has to be refused, and only the end of the sessions is written.
    async fn races<C: Command<Answer: std::fmt::Debug>>(&self, user: UserId, command: C) -> Refusal {
        let ends = EndSessions { user, reason: "lost a laptop".to_owned(), reach: Reach::Everything };
        let refusal = self.refused_while(&protocol(self.tenant.id, "auth"), command, ends).await;
        assert_eq!(self.last_event().await.0, "auth.account.sessions_ended");
        refusal
    }

    /// Signs Ada in, and returns the session.
    async fn signed_in(&self) -> SessionId {
        Browser::default().signs_in(self, "login", "ada@example.com", PASSWORD).await;
        let (_, said) = self.last_event().await;
        assert_eq!(said["methods"], json!(["pwd"]), "{said}");
        self.last_session_id().await
    }
}

fn terms(world: &World, app: &App, user: UserId, session: SessionId) -> GrantTerms {
    GrantTerms {
        session: Some(session),
        ..GrantTerms::new(
            GrantKind::AuthorizationCode,
            (app.id.uuid(), user.uuid()),
            vec!["api".to_owned(), "offline_access".to_owned()],
            // The time in the terms may be late: a grant can claim any.
            world.now() + TimeDelta::minutes(1),
            world.now() + TimeDelta::days(1),
        )
    }
}

#[tokio::test]
async fn attack_108_what_is_granted_in_a_session_while_all_sessions_end_is_granted_to_nobody() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let app = world.client(true).await;
    let session = world.signed_in().await;
    let opened = world.races(ada, OpenGrant { terms: terms(&world, &app, ada, session) }).await;
    assert_eq!(opened.code(), "session_ended");
    // A grant that was opened before the end of all sessions was written ends with its session, however late its claimed time is.
    let session = world.signed_in().await;
    let late = terms(&world, &app, ada, session);
    world.run_as_protocol(&OpenGrant { terms: late.clone() }).await.unwrap();
    assert!(world.provider.trust.is_grant_valid(world.tenant.id, &late).await.unwrap());
    world.run_as_admin(&EndSessions { user: ada, reason: "lost a laptop".to_owned(), reach: Reach::Everything }).await;
    assert!(!world.provider.trust.is_grant_valid(world.tenant.id, &late).await.unwrap());
    world.clock.advance(TimeDelta::seconds(1));

    let ask = || async {
        let device = SystemIds.next().into();
        let expires_at = world.now() + TimeDelta::minutes(10);
        let ask = AskForDevice { device, client: app.id, scope: vec!["api".to_owned()], expires_at };
        world.run_as_protocol(&ask).await.unwrap();
        device
    };
    let (device, session) = (ask().await, world.signed_in().await);
    let allow = DecideDevice { device, user: ada, session, allow: true };
    assert_eq!(world.races(ada, allow).await.code(), "session_ended");
    let (device, session) = (ask().await, world.signed_in().await);
    world.run_as_protocol(&DecideDevice { device, user: ada, session, allow: true }).await.unwrap();
    let let_in = LetDeviceIn { device, client: app.id, lifetime: TimeDelta::days(1) };
    assert_eq!(world.races(ada, let_in).await.code(), "grant_invalid");
}

#[tokio::test]
async fn attack_134_a_session_that_is_confirmed_while_all_sessions_end_is_not_confirmed() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let session = world.signed_in().await;
    let confirm = ConfirmSession { session, methods: vec!["otp".to_owned()] };
    assert_eq!(world.races(ada, confirm.clone()).await.code(), "session_ended");
    let before = world.head().await;
    assert_eq!(world.run_as_protocol(&confirm).await.unwrap_err().code(), "session_ended");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn attack_147_a_passkey_that_is_made_while_all_sessions_end_is_nobodys() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let x = Some("A".repeat(43));
    let key = Jwk { kty: "EC".to_owned(), crv: Some("P-256".to_owned()), y: x.clone(), x, kid: None, n: None, e: None };
    let made = |within| EnrolPasskey {
        user: ada,
        within,
        passkey: "credential".to_owned(),
        name: "Phone".to_owned(),
        key: key.clone(),
        counter: 0,
        synced: false,
        challenge: "challenge".to_owned(),
        recovery: vec!["hash".to_owned()],
    };
    let session = world.signed_in().await;
    assert_eq!(world.races(ada, made(Within::Session(session))).await.code(), "session_ended");
    let since = world.account(ada).await.moment(world.now());
    assert_eq!(world.races(ada, made(Within::SignIn(since))).await.code(), "sessions_ended");
    // A command whose session is still valid when it is written succeeds.
    let session = world.signed_in().await;
    world.run_as_protocol(&made(Within::Session(session))).await.unwrap();
}

#[tokio::test]
async fn attack_110_a_session_that_begins_while_all_sessions_end_does_not_begin() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let start = StartSession {
        user: ada,
        methods: vec!["pwd".to_owned()],
        saml: None,
        since: Some(world.account(ada).await.moment(world.now())),
        lifetime: TimeDelta::days(1),
        place: Place::default(),
        before: None,
    };
    assert_eq!(world.races(ada, start).await.code(), "sessions_ended");
}

#[tokio::test]
async fn attack_110_an_old_password_that_is_looked_at_while_a_new_one_is_set_signs_nobody_in() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let mut thief = Browser::default();
    let page = thief.visit(&world, "login").await;
    let pending = page.hidden("pending");
    let before = world.events().await.len();
    let gate = world.people.hold(0);
    let fields = [("pending", pending.as_str()), ("login", "ada@example.com"), ("password", PASSWORD)];
    let (shown, ()) =
        tokio::join!(thief.fill_in(&world, "login", &fields), gate.meanwhile(world.sets_password(ada, MINE)));
    assert!(shown.status == StatusCode::BAD_REQUEST && thief.cookies.is_empty(), "{shown:?}");
    let events = world.events().await.split_off(before);
    let names: Vec<_> = events.iter().map(|(event, _)| event.as_str()).collect();
    let of_the_person =
        ["auth.account.password_reset_requested", "auth.account.password_set", "auth.account.sessions_ended"];
    assert_eq!(names, [&of_the_person[..], &["auth.sign_in.refused"]].concat());
    assert_eq!(world.last_event().await.1["reason"], "sessions_ended");
}

#[tokio::test]
async fn attack_110_an_old_password_that_is_looked_at_while_a_new_one_is_set_sets_no_other() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let mut thief = Browser::default();
    thief.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let before = world.events().await.len();
    // The first lookup is the one that checks the user of the session.
    let gate = world.people.hold(1);
    let fields = [("old", PASSWORD), ("password", THEIRS), ("elsewhere", "end")];
    let (shown, ()) = tokio::join!(
        thief.fill_in(&world, "account/password", &fields),
        gate.meanwhile(world.sets_password(ada, MINE))
    );
    assert!(shown.status == StatusCode::BAD_REQUEST && shown.alert().contains("current password"), "{shown:?}");
    let events = world.events().await.split_off(before);
    let count = |kind: &str| events.iter().filter(|(event, _)| event == kind).count();
    assert_eq!((count("auth.account.password_set"), count("auth.session.started")), (1, 0), "{events:?}");
    assert_eq!((count("auth.sign_in.refused"), count("auth.account.sessions_ended")), (1, 1), "{events:?}");
    assert_eq!(thief.visit(&world, "account").await.leads_to().0, "/t/acme/login");
    let mine = Browser::default().signs_in(&world, "login", "ada@example.com", MINE).await;
    assert_eq!(mine.leads_to().0, "/t/acme/account");
}

#[tokio::test]
async fn attack_231_who_is_locked_while_their_provider_signs_them_in_is_not_signed_in() {
    let (world, idp, sp) = connected().await;
    let user = world.person(ADA).await;
    let locked = Person { may_sign_in: false, ..world.person_of(ADA).await };
    let ends = EndSessions { user, reason: "locked".to_owned(), reach: Reach::Everything };
    // The directory shows it after it was read for the sign-in, or before that.
    for (in_time, reason) in [(false, "sessions_ended"), (true, "may_not_sign_in")] {
        let said = idp.says(&Words::new(&world, &sp, None));
        let mut browser = Browser::default();
        let before = world.events().await.len();
        let gate = world.people.hold(0);
        let meanwhile = async {
            world.run_as_admin(&ends).await;
            if in_time {
                world.people.put(world.tenant.id, locked.clone());
            }
        };
        let (shown, ()) = tokio::join!(finish_sign_in(&world, &mut browser, &sp, &said), gate.meanwhile(meanwhile));
        assert!(shown.status.is_client_error() && browser.cookies.is_empty(), "{shown:?}");
        let events = world.events().await.split_off(before);
        let names: Vec<_> = events.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(names, ["auth.saml_assertion.used", "auth.account.sessions_ended", "auth.sign_in.refused"]);
        assert_eq!(events[2].1["reason"], reason);
    }
}

#[tokio::test]
async fn attack_111_a_new_password_does_not_stand_in_for_a_second_factor() {
    let world = World::start().await;
    let mut ada = AuthenticatorUser::person(&world).await;
    world.clock.advance(TimeDelta::hours(1));
    let before = world.events().await.len();
    let fields = [("old", PASSWORD), ("password", MINE), ("elsewhere", "end")];
    let page = ada.browser.fill_in(&world, "account/password", &fields).await;
    assert!(page.status == StatusCode::OK && page.body.contains("one-time-code"), "{page:?}");
    assert!(page.headers.get("set-cookie").is_none(), "{page:?}");
    let events = world.events().await.split_off(before);
    assert!(events.iter().all(|(event, _)| event != "auth.session.started"), "{events:?}");
    assert_eq!(ada.browser.visit(&world, "account/passkeys").await.leads_to().0, "/t/acme/login");
    // With the authenticator as well, the sign-in succeeds.
    let code = ada.next(&world);
    let fields = [("pending", page.hidden("pending")), ("code", code)];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(ada.browser.fill_in(&world, "code", &fields).await.leads_to().0, "/t/acme/account");
    assert_eq!(world.last_event().await.1["methods"], json!(["pwd", "otp"]));
    assert_eq!(ada.browser.visit(&world, "account").await.status, StatusCode::OK);
}

/// Executes a command under this id; returns whether one with this id was executed before.
async fn again<C: Command>(world: &World, caller: &Caller, id: &str, command: &C) -> bool {
    let executor = world.provider.authority.executor();
    let request = executor.internal_request(caller, Some(id.to_owned()));
    executor.execute(&request, command).await.unwrap().repeated
}

#[tokio::test]
async fn an_ending_that_was_forestalled_ends_no_session_that_began_since_not_even_of_who_had_no_account() {
    let world = World::start().await;
    let (user, sign_in) = (UserId::new(SystemIds.next()), protocol(world.tenant.id, "user"));
    let forestall = |reason: Option<&str>| ForestallEnding { user, reason: reason.map(str::to_owned) };
    let ends = EndSessions { user, reason: "role_revoked".to_owned(), reach: Reach::Everything };
    let begins = async |assertion: &str| {
        let saml = SamlSignIn {
            connection: SamlConnectionId::new(SystemIds.next()),
            assertion: assertion.to_owned(),
            authenticated_at: world.now(),
            session: None,
            name: None,
        };
        let start = StartSession {
            user,
            methods: vec!["fed".to_owned()],
            saml: Some(saml),
            since: None,
            lifetime: TimeDelta::days(1),
            place: Place::default(),
            before: None,
        };
        world.run_as_protocol(&start).await.unwrap();
        world.last_session().await.started.unwrap().began()
    };

    let before = world.head().await;
    assert!(!again(&world, &sign_in, "one", &forestall(Some("role_revoked"))).await);
    assert_eq!(world.head().await, before, "there is no account yet");
    let first = begins("_1").await;
    let before = world.head().await;
    assert!(again(&world, &world.admin(), "one", &ends).await);
    assert_eq!(world.head().await, before, "something was written");
    assert!(world.account(user).await.is_still_valid(first));

    // The sessions of before end.
    assert!(!again(&world, &sign_in, "two", &forestall(Some("role_revoked"))).await);
    assert_eq!(world.last_event().await.1["reason"], "role_revoked");
    assert!(!world.account(user).await.is_still_valid(first));
    let second = begins("_2").await;
    let before = world.head().await;
    assert!(!again(&world, &sign_in, "three", &forestall(None)).await, "nothing is left to end");
    for id in ["two", "three"] {
        assert!(again(&world, &world.admin(), id, &ends).await);
    }
    assert_eq!(world.head().await, before, "something was written");
    assert!(world.account(user).await.is_still_valid(second));

    // Nobody forestalled this one, and where it was executed first, it is not executed again.
    assert!(!again(&world, &world.admin(), "four", &ends).await);
    assert!(!world.account(user).await.is_still_valid(second));
    let third = begins("_3").await;
    assert!(again(&world, &sign_in, "four", &forestall(Some("role_revoked"))).await);
    assert!(world.account(user).await.is_still_valid(third));
}
