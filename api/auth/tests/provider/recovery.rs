//! Regaining access by a mailed link, while an attacker tries to prevent it.

use auth_commands::{EndSessions, Reach};
use chrono::TimeDelta;
use reqwest::StatusCode;
use testbed::{Browser, Shown};

use crate::world::{PASSWORD, Visits, World};

const ADA: &str = "ada@example.com";
const NEW: &str = "umbrella-cactus-violin";

async fn sets(world: &World, browser: &mut Browser, token: &str) -> Shown {
    browser.fill_in(world, "password", &[("token", token), ("password", NEW)]).await
}

#[tokio::test]
async fn attack_141_who_keeps_asking_for_somebodys_link_makes_none_of_them_worthless() {
    let world = World::start().await;
    let ada = world.person(ADA).await;
    let first = world.password_token(ada).await;
    let before = world.head().await;
    world.clock.advance(TimeDelta::minutes(9));
    world.password_token(ada).await;
    assert_eq!(world.head().await, before, "their mailbox is filled");
    world.clock.advance(TimeDelta::minutes(1));
    let second = world.password_token(ada).await;
    assert_ne!(first, second);
    assert_eq!(world.head().await, before + 1);
    // The first mail arrived late, and its link still works.
    let mut browser = Browser::default();
    assert_eq!(browser.visit(&world, &format!("password?token={first}")).await.status, StatusCode::OK);
    let set = sets(&world, &mut browser, &first).await;
    assert!(set.body.contains("Your password is set"), "{set:?}");
    // After the new password is set, neither link works.
    let before = world.head().await;
    for token in [&first, &second] {
        assert_eq!(sets(&world, &mut Browser::default(), token).await.status, StatusCode::GONE);
    }
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn attack_146_a_link_that_somebody_kept_when_all_sessions_ended_sets_no_password() {
    let world = World::start().await;
    let ada = world.person(ADA).await;
    let kept = world.password_token(ada).await;
    world.run_as_admin(&EndSessions { user: ada, reason: "lost a phone".to_owned(), reach: Reach::Everything }).await;
    let (mut thief, before) = (Browser::default(), world.head().await);
    assert_eq!(thief.visit(&world, &format!("password?token={kept}")).await.status, StatusCode::GONE);
    assert_eq!(sets(&world, &mut thief, &kept).await.status, StatusCode::GONE);
    assert_eq!(world.head().await, before, "something was written");
    let next = world.password_token(ada).await;
    let set = sets(&world, &mut Browser::default(), &next).await;
    assert!(set.body.contains("Your password is set"), "they wait: {set:?}");
}

/// Fails again and again, each time in a fresh browser, until further attempts are refused.
async fn until_blocked(mut fail: impl AsyncFnMut(Browser) -> Shown) {
    for _ in 0..60 {
        if fail(Browser::default()).await.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
    }
    panic!("nobody is held");
}

#[tokio::test]
async fn attack_141_who_followed_a_mailed_link_is_let_in_whoever_guesses_meanwhile() {
    let world = World::start().await;
    let ada = world.person(ADA).await;
    let token = world.password_token(ada).await;
    until_blocked(async |mut guesser| guesser.signs_in(&world, "login", ADA, "wrong-horse-battery").await).await;
    let mut new = Browser::default();
    let set = sets(&world, &mut new, &token).await;
    assert!(set.body.contains("Your password is set"), "{set:?}");
    world.clock.advance(TimeDelta::seconds(1));
    let before = world.head().await;
    let old = new.signs_in(&world, "login", ADA, PASSWORD).await;
    assert_eq!((old.status, world.head().await), (StatusCode::UNAUTHORIZED, before + 1), "the cookie opens nothing");
    assert_eq!(new.signs_in(&world, "login", ADA, NEW).await.leads_to().0, "/t/acme/account");
    // Other users of the network do not keep her from requesting a link.
    let nobody = [("login", "nobody@example.com")];
    until_blocked(async |mut neighbour| neighbour.fill_in(&world, "forgot", &nobody).await).await;
    assert_eq!(new.fill_in(&world, "forgot", &nobody).await.status, StatusCode::OK);
}
