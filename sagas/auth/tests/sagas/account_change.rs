//! `note_account_change`: a person is told once of what was changed about how they sign in, with every failure injected; and nobody keeps it
//! from them.

use std::sync::{Arc, Mutex};

use auth_aggregates::{By, Jwk, Place, SessionId};
use auth_commands::{
    EnrolPasskey, EnrolTotp, GRANTS, Reach, RequestPasswordReset, ResetSecondFactor, SetPassword, SetRecoveryCodes,
    StartSession, UseRecoveryCode, Within, protocol,
};
use auth_sagas::{NoticeMail, NoticeMails, Ports};
use chrono::TimeDelta;
use coordinator::{Point, Sagas, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{TenantId, UserId};
use mailer::Caught;
use sagabed::{Bed, Case, Crash, Story};
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StringDeserializer};

use crate::logout::Told;
use crate::password_link::PasswordLinkMailsDouble;

const NAME: &str = "note_account_change";

/// What is known of people's addresses.
#[derive(Clone, Copy, Default)]
enum Known {
    #[default]
    Verified,
    Nobody,
    /// It can't be said now.
    Away,
}

/// Addresses that contain the person's id.
#[derive(Clone, Default)]
pub struct NoticeMailsDouble(Arc<Mutex<Known>>);

impl NoticeMailsDouble {
    fn answer(&self, known: Known) {
        *self.0.lock().unwrap() = known;
    }
}

impl NoticeMails for NoticeMailsDouble {
    fn notice_mail(&self, _: TenantId, user: UserId) -> BoxFuture<'_, Result<Option<NoticeMail>, String>> {
        let mail = NoticeMail {
            to: format!("{user}@example.com").into(),
            name: "Ada".to_owned().into(),
            tenant: "Acme".to_owned(),
            issuer: "https://example.com/t/acme".to_owned(),
        };
        let answer = match *self.0.lock().unwrap() {
            Known::Verified => Ok(Some(mail)),
            Known::Nobody => Ok(None),
            Known::Away => Err("it does not answer".to_owned()),
        };
        async move { answer }.boxed()
    }
}

/// A person makes new recovery codes.
#[derive(Default)]
struct Changed {
    caught: Caught,
    addresses: NoticeMailsDouble,
}

/// The person, one per tenant.
fn user(case: &Case<'_>) -> UserId {
    UserId::new(case.tenant().uuid())
}

/// What the person does on our pages.
async fn does<C: executor::Command>(case: &Case<'_>, command: &C) -> C::Answer {
    let oneself = protocol(case.tenant(), &user(case).to_string());
    case.bed.executor.run(&oneself, command).await.unwrap().answer
}

/// A sealed secret, which nobody opens here.
fn sealed<T: DeserializeOwned>(text: &str) -> T {
    T::deserialize(StringDeserializer::<Error>::new(text.to_owned())).unwrap()
}

async fn begins_account(case: &Case<'_>) {
    does(case, &RequestPasswordReset { user: user(case) }).await;
}

async fn sets_password(case: &Case<'_>, password: &str, by: By) {
    does(case, &SetPassword { user: user(case), password: sealed(password), by, end_sessions: true }).await;
}

async fn session(case: &Case<'_>) -> SessionId {
    let methods = vec!["pwd".to_owned()];
    let (lifetime, place) = (TimeDelta::days(1), Place::default());
    let start = StartSession { user: user(case), methods, saml: None, since: None, lifetime, place, before: None };
    does(case, &start).await
}

impl Changed {
    /// The subjects of the mails to the person, and their texts, oldest first.
    fn mails(&self, case: &Case<'_>) -> Vec<(String, String)> {
        let address = format!("{}@example.com", user(case));
        let mails = self.caught.all().into_iter().rev().filter(|mail| *mail.to.reveal() == address);
        mails.map(|mail| (mail.subject.reveal().clone(), mail.text.reveal().clone())).collect()
    }

    fn subjects(&self, case: &Case<'_>) -> Vec<String> {
        self.mails(case).into_iter().map(|(subject, _)| subject).collect()
    }
}

impl Story for Changed {
    /// Only this saga.
    fn sagas(&self) -> Sagas {
        let all = auth_sagas::sagas(&Ports {
            mailer: Arc::new(self.caught.clone()),
            password_link_mails: Arc::new(PasswordLinkMailsDouble),
            notice_mails: Arc::new(self.addresses.clone()),
            notices: Arc::new(Told::default()),
        });
        let definitions = all.definitions().iter().filter(|definition| definition.name() == NAME);
        Sagas::of::<auth_sagas::AuthSagas>(GRANTS, definitions.cloned().collect())
    }

    fn saga(&self) -> &'static str {
        NAME
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            begins_account(case).await;
            does(case, &SetRecoveryCodes { user: user(case), hashes: vec!["a".to_owned()] }).await;
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let [(subject, text)] = &self.mails(case)[..] else { panic!("not one mail: {:?}", self.subjects(case)) };
            assert_eq!(subject, "New recovery codes were made");
            let events = case.events().await;
            let event = events.iter().find(|event| event.change() == "recovery_codes_set").unwrap();
            let begin = format!(
                "Hello Ada,\n\nat {} something was changed about how you sign in to Acme:\n\n- New recovery codes were made\n\nYou did it",
                event.recorded_at.format("%Y-%m-%d %H:%M UTC")
            );
            assert!(text.starts_with(&begin), "{text}");
            for page in ["forgot", "account"] {
                assert!(text.contains(&format!("\nhttps://example.com/t/acme/{page}\n")), "{text}");
            }
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // A mail can't be taken back; nothing else was done.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn a_person_is_told_what_was_changed() {
    sagabed::completes(&Changed::default(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_no_notice() {
    sagabed::survives_each_crash(&Changed::default(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_give_notice_of_nothing_again() {
    sagabed::bears_repetition(&Changed::default(), GRANTS).await;
}

#[tokio::test]
async fn a_notice_that_can_never_be_mailed_is_given_up() {
    sagabed::unwinds_from_each_step(&Changed::default(), GRANTS).await;
}

#[tokio::test]
async fn a_notice_that_is_to_be_mailed_again_while_nobody_runs_is_mailed_then() {
    sagabed::catches_up_with_attempts(&Changed::default(), GRANTS).await;
}

#[tokio::test]
async fn the_first_password_sets_an_account_up_and_each_other_one_is_told() {
    let story = Changed::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    sets_password(&case, "v1.one", By::Invitation).await;
    bed.rested().await;
    assert_eq!(story.subjects(&case), [""; 0]);
    sets_password(&case, "v1.two", By::Password { shown: sealed("v1.one") }).await;
    bed.rested().await;
    assert_eq!(story.subjects(&case), ["Your password was changed"]);
    begins_account(&case).await;
    let at = bed.executor.now();
    sets_password(&case, "v1.three", By::Link { turn: 1, at }).await;
    bed.rested().await;
    assert_eq!(story.subjects(&case), ["Your password was changed"; 2]);
    running.stop().await;
}

#[tokio::test]
async fn one_mail_tells_all_that_one_command_changed_and_whether_it_was_an_administrators() {
    let story = Changed::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    let (user, within) = (user(&case), Within::Session(session(&case).await));
    let recovery = vec!["a".to_owned()];
    does(&case, &EnrolTotp { user, within, secret: sealed("v1.secret"), step: 1, recovery }).await;
    does(&case, &UseRecoveryCode { user, hash: "a".to_owned() }).await;
    does(&case, &passkey(user, within, "one", "a phone")).await;
    does(&case, &passkey(user, within, "two", "a key")).await;
    case.execute(&ResetSecondFactor { user, reach: Reach::Everything }).await;
    bed.rested().await;
    running.stop().await;
    let mut told: Vec<_> = story.mails(&case).into_iter().map(|(_, text)| changes(&text)).collect();
    told.sort();
    let added = "A passkey was added, You did it";
    assert_eq!(
        told,
        [
            added,
            added,
            "A recovery code was used, You did it",
            "An authenticator app was added, New recovery codes were made, You did it",
            "The authenticator app was removed, A passkey was removed, A passkey was removed, An administrator did it",
        ]
    );
}

/// The changes that a mail names, and who made them.
fn changes(text: &str) -> String {
    let listed = text.lines().filter_map(|line| line.strip_prefix("- "));
    let by = ["You did it", "An administrator did it"].into_iter().filter(|by| text.contains(&format!("\n{by},")));
    listed.chain(by).collect::<Vec<_>>().join(", ")
}

fn passkey(user: UserId, within: Within, passkey: &str, name: &str) -> EnrolPasskey {
    let x = Some("A".repeat(43));
    EnrolPasskey {
        user,
        within,
        passkey: passkey.to_owned(),
        name: name.to_owned(),
        key: Jwk { kty: "EC".to_owned(), crv: Some("P-256".to_owned()), y: x.clone(), x, kid: None, n: None, e: None },
        counter: 0,
        synced: false,
        challenge: format!("enrolling {passkey}"),
        recovery: vec![],
    }
}

#[tokio::test]
async fn who_never_verified_an_address_or_is_gone_is_told_nothing() {
    let story = Changed::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    story.addresses.answer(Known::Nobody);
    let running = bed.start();
    story.begin(&case).await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "nobody");
    assert_eq!(story.caught.all(), []);
    running.stop().await;
}

#[tokio::test]
async fn attack_277_nobody_cancels_the_notice_of_a_change() {
    let story = Changed::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    story.addresses.answer(Known::Away);
    let running = bed.start();
    story.begin(&case).await;
    case.until("it waits for the address", |one| case.later(one).is_some()).await;
    let (listed, before) = (case.instance().await.0, bed.store.head().await.unwrap());
    let refused = bed.instances.cancel(&case.request(), listed.id, "it is me".to_owned()).await.unwrap_err();
    assert_eq!(refused.code(), "saga_not_cancellable", "{refused:?}");
    assert_eq!(bed.store.head().await.unwrap(), before, "a refusal writes nothing");
    story.addresses.answer(Known::Verified);
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "all the same");
    story.done(&case).await;
    running.stop().await;
}

#[tokio::test]
async fn attack_280_nor_before_it_has_begun_while_others_keep_the_coordinator_busy() {
    let story = Changed::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let busy = Arc::new(Crash::after(0, Point::BeforeAdvance));
    let running = bed.start_with(busy.clone());
    story.begin(&case).await;
    busy.crashed.notified().await;
    let ((listed, state), before) = (case.instance().await, bed.store.head().await.unwrap());
    assert_eq!((state.status, state.current), (Status::Running, None), "it has not begun");
    let refused = bed.instances.cancel(&case.request(), listed.id, "it is me".to_owned()).await.unwrap_err();
    assert_eq!(refused.code(), "saga_not_cancellable", "{refused:?}");
    assert_eq!(bed.store.head().await.unwrap(), before, "a refusal writes nothing");
    running.kill().await;
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "all the same");
    story.done(&case).await;
    running.stop().await;
}

#[tokio::test]
async fn attack_278_who_adds_a_passkey_writes_nothing_to_the_owner_of_the_account() {
    let story = Changed::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    let within = Within::Session(session(&case).await);
    let lure = "locked, unlock it at https://evil.example";
    does(&case, &passkey(user(&case), within, "one", lure)).await;
    bed.rested().await;
    running.stop().await;
    let [(subject, text)] = &story.mails(&case)[..] else { panic!("not one mail: {:?}", story.subjects(&case)) };
    assert_eq!(subject, "A passkey was added");
    assert!(!text.contains("evil.example"), "{text}");
}
