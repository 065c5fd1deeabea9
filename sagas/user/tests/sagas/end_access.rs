//! `end_access`: a person who may not sign in any more loses all sessions, with every failure injected.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use coordinator::{Sagas, Status};
use futures::future::{BoxFuture, FutureExt, ready};
use kernel::{Clock, Position, TenantId, UserId};
use sagabed::{Bed, Case, Story};
use user_commands::{
    Catalogue, GRANTS, GrantRole, LockUser, LoginFields, ProfileFields, RegisterUser, RemoveUser, RevokeRole,
};
use user_sagas::{Access, Ending, Ports, due_endings};

use crate::provisioning::{ResourcesDouble, ports};

/// The auth service, in memory.
#[derive(Default)]
pub struct AccessDouble {
    /// How many more times the directory is reported to be behind.
    behind: AtomicU32,
    /// Requests by idempotency key.
    endings: Mutex<BTreeMap<String, Ending>>,
}

impl AccessDouble {
    fn of(&self, tenant: TenantId) -> Vec<Ending> {
        self.endings.lock().unwrap().values().filter(|ending| ending.tenant == tenant).cloned().collect()
    }
}

impl Access for AccessDouble {
    fn is_known(&self, _: TenantId, _: Position) -> BoxFuture<'_, bool> {
        let behind = self.behind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        ready(!behind).boxed()
    }

    fn end<'a>(&'a self, ending: &'a Ending) -> BoxFuture<'a, Result<(), String>> {
        self.endings.lock().unwrap().entry(ending.once.clone()).or_insert_with(|| ending.clone());
        ready(Ok(())).boxed()
    }
}

#[derive(Default)]
struct Locked {
    access: Arc<AccessDouble>,
}

pub async fn register(case: &Case<'_>) -> UserId {
    let register = RegisterUser {
        login: LoginFields { email: format!("ada@{}.example", case.tenant()), user_name: None },
        profile: ProfileFields { name: "Ada".to_owned(), ..ProfileFields::default() },
        roles: vec!["member".to_owned()],
        groups: vec![],
        catalogue: Catalogue::from(GRANTS.to_vec()),
    };
    case.execute(&register).await
}

async fn lock(case: &Case<'_>) -> UserId {
    let user = register(case).await;
    let lock = LockUser { user, reason: "lost a laptop".to_owned(), catalogue: Catalogue::from(GRANTS.to_vec()) };
    case.execute(&lock).await;
    user
}

impl Story for Locked {
    fn sagas(&self) -> Sagas {
        user_sagas::sagas(&Ports { access: self.access.clone(), ..ports(&ResourcesDouble::default()) })
    }

    fn saga(&self) -> &'static str {
        "end_access"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move { _ = lock(case).await })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let [ending] = &self.access.of(case.tenant())[..] else { panic!("not one ending") };
            assert_eq!((ending.reason.as_str(), ending.closes), ("locked", false));
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // People who are still allowed sign in again by themselves, so there is no undo.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn who_is_locked_is_signed_out_everywhere() {
    sagabed::completes(&Locked::default(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_leaves_nobody_signed_in_who_is_locked() {
    sagabed::survives_each_crash(&Locked::default(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_sign_nobody_out_again() {
    sagabed::bears_repetition(&Locked::default(), GRANTS).await;
}

#[tokio::test]
async fn where_people_are_signed_out_may_refuse_it_for_good_and_nothing_else_is_done() {
    sagabed::unwinds_from_each_step(&Locked::default(), GRANTS).await;
}

#[tokio::test]
async fn who_is_to_be_signed_out_again_while_nobody_runs_is_signed_out_then() {
    sagabed::catches_up_with_attempts(&Locked::default(), GRANTS).await;
}

#[tokio::test]
async fn whoever_slips_in_while_the_directory_is_behind_is_signed_out_after_it() {
    let story = Locked::default();
    story.access.behind.store(1, Ordering::SeqCst);
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let user = lock(&case).await;
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "at last");
    let endings = story.access.of(case.tenant());
    assert_eq!(endings.iter().map(|ending| ending.user).collect::<Vec<_>>(), [user, user], "at once, and afterwards");
    assert!(endings[0].once.ends_with("-first") && endings[1].once.ends_with("-last"), "{endings:?}");
    running.stop().await;
}

#[tokio::test]
async fn who_loses_a_role_is_signed_out_and_who_gets_one_is_not() {
    let story = Locked::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let user = register(&case).await;
    let catalogue = Catalogue::from(GRANTS.to_vec());
    case.execute(&GrantRole { user, role: "viewer".to_owned(), catalogue: catalogue.clone() }).await;
    let running = bed.start();
    bed.followed().await;
    assert!(case.listed().await.is_empty(), "a role more signs nobody out");
    case.execute(&RevokeRole { user, role: "member".to_owned(), catalogue }).await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "revoked");
    assert_eq!(story.access.of(case.tenant())[0].reason, "role_revoked");
    running.stop().await;
}

#[tokio::test]
async fn the_account_of_who_is_removed_is_closed() {
    let story = Locked::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let user = register(&case).await;
    case.execute(&RemoveUser { user, catalogue: Catalogue::from(GRANTS.to_vec()) }).await;
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "removed");
    let endings = story.access.of(case.tenant());
    assert!(endings.len() == 1 && endings[0].closes, "{endings:?}");
    running.stop().await;
}

#[tokio::test]
async fn attack_163_nobody_cancels_that_somebody_is_signed_out_or_erased_where_they_sign_in() {
    let story = Locked::default();
    story.access.behind.store(1, Ordering::SeqCst);
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let user = lock(&case).await;
    let running = bed.start();
    case.until("it waits for the directory", |one| case.later(one).is_some()).await;
    let (listed, before) = (case.instance().await.0, bed.store.head().await.unwrap());
    let refused = bed.instances.cancel(&case.request(), listed.id, "a friend".to_owned()).await.unwrap_err();
    assert_eq!(refused.code(), "saga_not_cancellable", "{refused:?}");
    assert_eq!(bed.store.head().await.unwrap(), before, "a refusal writes nothing");
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "all the same");
    assert!(story.access.of(case.tenant()).iter().all(|ending| ending.user == user));
    running.stop().await;
}

#[tokio::test]
async fn what_a_sign_in_ended_is_not_ended_again_however_late_the_saga_and_the_directory_are() {
    let story = Locked::default();
    story.access.behind.store(1, Ordering::SeqCst);
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let user = register(&case).await;
    case.execute(&RevokeRole { user, role: "member".to_owned(), catalogue: Catalogue::from(GRANTS.to_vec()) }).await;
    // The sign-in, while nobody runs sagas.
    let [due] = &due_endings(&case.events().await, bed.clock.now())[..] else { panic!("not one ending is due") };
    assert_eq!(due.reason, "role_revoked");
    for once in [&due.last, &due.first] {
        let (reason, once) = ("by the sign-in".to_owned(), once.clone());
        let ending = Ending { tenant: case.tenant(), user, reason, closes: false, erases: false, once };
        story.access.end(&ending).await.unwrap();
    }
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "without an ending of its own");
    assert_eq!(story.access.behind.load(Ordering::SeqCst), 0, "the saga tried both");
    let endings = story.access.of(case.tenant());
    assert_eq!(endings.len(), 2, "{endings:?}");
    assert!(endings.iter().all(|ending| ending.reason == "by the sign-in"), "{endings:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_sign_in_ends_what_was_lost_lately_and_leaves_accounts_that_close_to_the_saga() {
    let story = Locked::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let user = lock(&case).await;
    let due = || async { due_endings(&case.events().await, bed.clock.now()) };
    let locked = due().await;
    assert_eq!(locked.iter().map(|due| due.reason).collect::<Vec<_>>(), ["locked"]);
    case.execute(&RemoveUser { user, catalogue: Catalogue::from(GRANTS.to_vec()) }).await;
    assert_eq!(due().await, locked, "a closed account is more than ended sessions");
    bed.clock.advance(TimeDelta::days(2));
    assert!(due().await.is_empty(), "by then it waits for a person");
}
