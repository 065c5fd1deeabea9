//! `announce_logout`: applications are notified of ended sessions, with every failure injected; one that is unavailable delays no other.

use std::sync::{Arc, Mutex};

use auth_aggregates::{ClientId, EndReason, GrantKind, GrantTerms, Place, SessionId};
use auth_commands::{
    ClientFields, EndSession, EndSessions, GRANTS, OpenGrant, Reach, RegisterClient, StartSession, protocol,
};
use auth_sagas::{LoggedOut, Notices, Ports};
use chrono::TimeDelta;
use coordinator::{Sagas, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{TenantId, UserId};
use mailer::Caught;
use sagabed::{Bed, Case, Story};

use crate::account_change::NoticeMailsDouble;
use crate::password_link::PasswordLinkMailsDouble;

/// Records the notices.
#[derive(Clone, Default)]
pub struct Told {
    notices: Arc<Mutex<Vec<(TenantId, LoggedOut)>>>,
    /// The applications that are unavailable.
    away: Arc<Mutex<Vec<ClientId>>>,
}

impl Notices for Told {
    fn logged_out(&self, tenant: TenantId, notice: LoggedOut) -> BoxFuture<'_, Result<(), String>> {
        let told = if self.away.lock().unwrap().contains(&notice.client) {
            Err("it does not answer".to_owned())
        } else {
            self.notices.lock().unwrap().push((tenant, notice));
            Ok(())
        };
        async move { told }.boxed()
    }
}

impl Told {
    /// The notices in a tenant; repetitions are equal.
    fn of(&self, tenant: TenantId) -> Vec<LoggedOut> {
        let notices = self.notices.lock().unwrap();
        let mut found: Vec<_> = notices.iter().filter(|(of, _)| *of == tenant).map(|(_, notice)| *notice).collect();
        found.sort_unstable_by_key(|notice| notice.id);
        found.dedup();
        found
    }
}

fn ports(told: &Told) -> Ports {
    Ports {
        mailer: Arc::new(Caught::default()),
        password_link_mails: Arc::new(PasswordLinkMailsDouble),
        notice_mails: Arc::new(NoticeMailsDouble::default()),
        notices: Arc::new(told.clone()),
    }
}

/// The person who signs in, one per tenant.
fn user(case: &Case<'_>) -> UserId {
    UserId::new(case.tenant().uuid())
}

/// An application that asks for notices, or does not.
async fn client(case: &Case<'_>, wants: bool) -> ClientId {
    let fields = ClientFields {
        name: "The App".to_owned(),
        redirect_uris: vec!["https://app.example.com/back".to_owned()],
        backchannel_logout_uri: wants.then(|| "https://app.example.com/out".to_owned()),
        ..ClientFields::default()
    };
    case.execute(&RegisterClient { fields, reach: Reach::Everything }).await
}

async fn run<C: executor::Command>(case: &Case<'_>, command: &C) -> C::Answer {
    case.bed.executor.run(&protocol(case.tenant(), "auth"), command).await.unwrap().answer
}

async fn session(case: &Case<'_>) -> SessionId {
    let methods = vec!["pwd".to_owned()];
    let (lifetime, place) = (TimeDelta::days(1), Place::default());
    let start = StartSession { user: user(case), methods, saml: None, since: None, lifetime, place, before: None };
    run(case, &start).await
}

/// An application gets tokens in a session.
async fn grant(case: &Case<'_>, client: ClientId, session: SessionId) {
    let now = case.bed.executor.now();
    let terms = GrantTerms {
        session: Some(session),
        ..GrantTerms::new(
            GrantKind::AuthorizationCode,
            (client.uuid(), user(case).uuid()),
            vec!["openid".to_owned()],
            now,
            now + TimeDelta::days(1),
        )
    };
    run(case, &OpenGrant { terms }).await;
}

async fn end(case: &Case<'_>, session: SessionId) {
    run(case, &EndSession { session, reason: EndReason::SignedOut }).await;
}

impl Story for Told {
    fn sagas(&self) -> Sagas {
        auth_sagas::sagas(&ports(self))
    }

    fn saga(&self) -> &'static str {
        "announce_logout"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let (listens, does_not, session) =
                (client(case, true).await, client(case, false).await, session(case).await);
            for client in [listens, does_not, listens] {
                grant(case, client, session).await;
            }
            end(case, session).await;
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let told = self.of(case.tenant());
            let [notice] = told[..] else { panic!("not one client was told one thing: {told:?}") };
            assert!(notice.user == user(case) && notice.session.is_some(), "{notice:?}");
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // What was said can't be taken back.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn a_client_that_wants_it_is_told_when_a_session_ends() {
    sagabed::completes(&Told::default(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_no_notice_and_says_nothing_else() {
    sagabed::survives_each_crash(&Told::default(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_tell_nothing_again() {
    sagabed::bears_repetition(&Told::default(), GRANTS).await;
}

#[tokio::test]
async fn a_client_that_refuses_it_for_good_is_given_up() {
    sagabed::unwinds_from_each_step(&Told::default(), GRANTS).await;
}

#[tokio::test]
async fn a_client_that_is_to_be_told_again_while_nobody_runs_is_told_then() {
    sagabed::catches_up_with_attempts(&Told::default(), GRANTS).await;
}

#[tokio::test]
async fn one_that_is_away_holds_nobody_up_and_is_told_when_it_is_back_or_given_up() {
    for comes_back in [true, false] {
        let told = Told::default();
        let bed = Bed::new(told.sagas(), GRANTS).await;
        let case = bed.case(told.saga());
        let (one, other, session) = (client(&case, true).await, client(&case, true).await, session(&case).await);
        grant(&case, one, session).await;
        grant(&case, other, session).await;
        told.away.lock().unwrap().push(one);
        let running = bed.start();
        end(&case, session).await;
        let heard = || async { (told.of(case.tenant()).len() == 1).then_some(()) };
        testbed::eventually("the other is told", heard).await;
        assert_eq!(told.of(case.tenant())[0].client, other);
        if comes_back {
            told.away.lock().unwrap().clear();
        }
        let state = case.end(&running).await;
        let (status, count) = if comes_back { (Status::Completed, 2) } else { (Status::Compensated, 1) };
        case.assert_status(&state, status, "told");
        assert_eq!(told.of(case.tenant()).len(), count);
        running.stop().await;
    }
}

#[tokio::test]
async fn when_all_sessions_end_each_client_is_told_once_without_naming_one() {
    let told = Told::default();
    let bed = Bed::new(told.sagas(), GRANTS).await;
    let case = bed.case(told.saga());
    let listens = client(&case, true).await;
    for _ in 0..2 {
        let session = session(&case).await;
        grant(&case, listens, session).await;
    }
    let running = bed.start();
    case.execute(&EndSessions { user: user(&case), reason: "locked".to_owned(), reach: Reach::Everything }).await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "all");
    let [notice] = told.of(case.tenant())[..] else { panic!("{:?}", told.of(case.tenant())) };
    assert_eq!((notice.client, notice.session), (listens, None));
    running.stop().await;
}

#[tokio::test]
async fn attack_136_who_was_given_something_by_a_clock_that_was_ahead_is_told_that_all_sessions_ended() {
    let told = Told::default();
    let bed = Bed::new(told.sagas(), GRANTS).await;
    let case = bed.case(told.saga());
    let (listens, session) = (client(&case, true).await, session(&case).await);
    bed.clock.advance(TimeDelta::hours(1));
    grant(&case, listens, session).await;
    bed.clock.advance(TimeDelta::hours(-1));
    let running = bed.start();
    case.execute(&EndSessions { user: user(&case), reason: "lost a laptop".to_owned(), reach: Reach::Everything })
        .await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "all");
    let [notice] = told.of(case.tenant())[..] else { panic!("{:?}", told.of(case.tenant())) };
    assert_eq!((notice.client, notice.session), (listens, None));
    running.stop().await;
}

#[tokio::test]
async fn attack_170_nobody_cancels_that_applications_are_told_that_somebody_was_signed_out() {
    let told = Told::default();
    let bed = Bed::new(told.sagas(), GRANTS).await;
    let case = bed.case(told.saga());
    let (listens, session) = (client(&case, true).await, session(&case).await);
    grant(&case, listens, session).await;
    told.away.lock().unwrap().push(listens);
    let running = bed.start();
    case.execute(&EndSessions { user: user(&case), reason: "locked".to_owned(), reach: Reach::Everything }).await;
    case.until("it waits for the application", |one| case.later(one).is_some()).await;
    let (listed, before) = (case.instance().await.0, bed.store.head().await.unwrap());
    let refused = bed.instances.cancel(&case.request(), listed.id, "a friend".to_owned()).await.unwrap_err();
    assert_eq!(refused.code(), "saga_not_cancellable", "{refused:?}");
    assert_eq!(bed.store.head().await.unwrap(), before, "a refusal writes nothing");
    told.away.lock().unwrap().clear();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "all the same");
    assert_eq!(told.of(case.tenant()).len(), 1);
    running.stop().await;
}
