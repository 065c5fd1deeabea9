//! `If-Match`: the caller requires the version that they read.

use executor::Request;
use kernel::{Kind, Versions};

use super::lamp::{Buy, Dust, Light};
use super::support::World;

fn matching(request: &Request, version: u64) -> Request {
    Request { if_match: Some(Versions::from(version)), ..request.clone() }
}

#[tokio::test]
async fn the_version_that_was_seen_matches() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    assert_eq!(world.done(&matching(&world.request(), 1), &Light(lamp)).await.version, 2);
}

#[tokio::test]
async fn another_version_is_refused_with_the_current_one() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    world.done(&world.request(), &Dust(lamp)).await;
    for wrong in [0, 1, 3] {
        let refusal = world.refused(&matching(&world.request(), wrong), &Light(lamp)).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::PreconditionFailed, "version_differs"));
        assert_eq!(refusal.extra()["version"], 2);
    }
}

#[tokio::test]
async fn one_of_the_versions_that_are_named_matches_or_none_does() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let naming = |versions: &[u64]| Request {
        if_match: Some(versions.iter().copied().collect::<Versions>()),
        ..world.request()
    };
    for wrong in [&[][..], &[2, 3]] {
        let refusal = world.refused(&naming(wrong), &Light(lamp)).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::PreconditionFailed, "version_differs"));
        assert_eq!(refusal.extra()["version"], 1);
    }
    assert_eq!(world.done(&naming(&[3, 1]), &Light(lamp)).await.version, 2);
}

#[tokio::test]
async fn something_new_has_no_version_to_match() {
    let world = World::new().await;
    let refusal = world.refused(&matching(&world.request(), 1), &Buy { label: "desk".to_owned() }).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, "header_invalid"));
    assert_eq!(refusal.extra()["header"], "if-match");
}

#[tokio::test]
async fn a_cache_that_is_behind_changes_neither_answer() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let elsewhere = world.elsewhere();
    elsewhere.execute(&world.request(), &Dust(lamp)).await.unwrap();
    // This process still has version 1 in its cache; the log has version 2.
    let before = world.head().await;
    let refusal = world.executor.execute(&matching(&world.request(), 1), &Dust(lamp)).await.unwrap_err();
    assert_eq!((refusal.code(), &refusal.extra()["version"]), ("version_differs", &2.into()));
    assert_eq!(world.head().await, before);
    elsewhere.execute(&world.request(), &Dust(lamp)).await.unwrap();
    assert_eq!(world.done(&matching(&world.request(), 3), &Dust(lamp)).await.version, 4);
}
