//! A tenant always has an owner.

use kernel::UserId;
use user_aggregates::Owners;
use user_commands::{DeactivateUser, EraseOneself, EraseUser, GrantRole, LockUser, RemoveUser, RevokeRole, UnlockUser};

use super::support::*;

fn revoke(user: UserId) -> RevokeRole {
    RevokeRole { user, role: "admin".to_owned(), catalogue: catalogue() }
}

#[tokio::test]
async fn the_last_owner_can_not_be_taken_away_in_any_way() {
    let world = World::with_jobs().await;
    let ada = world.user("ada", &["admin"]).await;
    let (user, reason, catalogue) = (ada, "phishing".to_owned(), catalogue());
    assert_eq!(world.refused(&revoke(ada)).await.code(), "last_owner");
    assert_eq!(world.refused(&LockUser { user, reason, catalogue: catalogue.clone() }).await.code(), "last_owner");
    let deactivate = DeactivateUser { user, reason: None, catalogue: catalogue.clone() };
    assert_eq!(world.refused(&deactivate).await.code(), "last_owner");
    assert_eq!(world.refused(&RemoveUser { user, catalogue: catalogue.clone() }).await.code(), "last_owner");
    assert_eq!(world.refused(&EraseUser { user, catalogue, forget: forget() }).await.code(), "last_owner");
    assert_eq!(world.jobs().await, [""; 0], "what is refused asks for no job");
    assert!(world.state(ada).await.is_owner());
}

#[tokio::test]
async fn the_last_owner_stays_also_where_what_made_them_one_can_not_be_read() {
    let world = World::with_jobs().await;
    let ada = world.user("ada", &["member"]).await;
    world.done(&GrantRole { user: ada, role: "admin".to_owned(), catalogue: catalogue() }).await;
    world.retype(ada, "user.user.role_granted", "user.user.promoted").await;
    let (elsewhere, before) = (world.elsewhere(), world.store.head().await.unwrap());
    let oneself = EraseOneself { email: "ada@example.com".to_owned(), forget: forget() };
    let refused = elsewhere.execute(&world.as_user(ada), &oneself).await.unwrap_err();
    assert_eq!(refused.code(), "last_owner");
    let erase = EraseUser { user: ada, catalogue: catalogue(), forget: forget() };
    let refused = elsewhere.execute(&world.request, &erase).await.unwrap_err();
    assert_eq!(refused.code(), "last_owner");
    assert_eq!(world.store.head().await.unwrap(), before, "something was written");
    assert_eq!(world.jobs().await, [""; 0], "what is refused asks for no job");
}

#[tokio::test]
async fn who_may_not_sign_in_is_no_owner_meanwhile() {
    let world = World::new().await;
    let (ada, grace) = (world.user("ada", &["admin"]).await, world.user("grace", &["member"]).await);
    let role = "admin".to_owned();
    world.done(&GrantRole { user: grace, role, catalogue: catalogue() }).await;
    world.done(&LockUser { user: grace, reason: "lost phone".to_owned(), catalogue: catalogue() }).await;
    assert_eq!(world.refused(&revoke(ada)).await.code(), "last_owner");
    world.done(&UnlockUser { user: grace, catalogue: catalogue() }).await;
    world.done(&revoke(ada)).await;
    let owners: Owners = world.load(world.request.caller.tenant()).await;
    assert_eq!(owners.users.into_iter().collect::<Vec<_>>(), [grace]);
}

#[tokio::test]
async fn of_two_owners_who_are_taken_away_at_once_one_stays() {
    let world = World::new().await;
    for round in 0..5 {
        let ada = world.user(&format!("ada{round}"), &["admin"]).await;
        let grace = world.user(&format!("grace{round}"), &["admin"]).await;
        if round > 0 {
            // Owners from earlier rounds.
            let owners: Owners = world.load(world.request.caller.tenant()).await;
            for other in owners.users.into_iter().filter(|owner| ![ada, grace].contains(owner)) {
                world.done(&revoke(other)).await;
            }
        }
        let (first, second) = (revoke(ada), revoke(grace));
        let (first, second) = tokio::join!(
            world.executor.execute(&world.request, &first),
            world.executor.execute(&world.request, &second)
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        let owners: Owners = world.load(world.request.caller.tenant()).await;
        assert_eq!(owners.users.len(), 1);
    }
}
