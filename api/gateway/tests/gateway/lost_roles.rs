//! Who loses a role and signs in at an identity provider while the saga that ends their sessions is late.

use reqwest::StatusCode;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool};
use testbed::{Browser, eventually};

use crate::first_password::user;
use crate::identity_provider::{Idp, Sp};
use crate::issuers::issuer;
use crate::saml_attacks::{comes, connected};
use crate::sign_in;
use crate::world::World;

const GRACE: &str = "grace@example.com";

/// The types of events that begin a session, and end all of a person.
const STARTED: &str = "auth.session.started";
const ENDED: &str = "auth.account.sessions_ended";

/// A gateway with a provider, by which another administrator has signed in, and then Grace as one, in the browser that is returned.
async fn with_grace() -> (World, (Idp, Sp), Browser) {
    let world = sign_in::world().await;
    let provider = connected(&world).await;
    signs_in(&world, &provider, "ceo@example.com", &["staff"]).await;
    let grace = signs_in(&world, &provider, GRACE, &["staff"]).await;
    (world, provider, grace)
}

/// Signs a person in by the provider, with a browser of their own.
async fn signs_in(world: &World, provider: &(Idp, Sp), email: &str, groups: &[&str]) -> Browser {
    let mut browser = Browser::default();
    let shown = comes(world, provider, &mut browser, email, groups).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "{shown:?}");
    browser
}

/// Whether somebody is signed in with a browser.
async fn is_in(world: &World, browser: &mut Browser) -> bool {
    let shown = browser.open(&format!("{}/account", issuer(world))).await;
    if shown.status != StatusCode::OK {
        assert_eq!(shown.leads_to().0, "/t/acme/login", "{shown:?}");
    }
    shown.status == StatusCode::OK
}

/// The user service's database.
async fn users(world: &World) -> PgPool {
    PgPoolOptions::new().max_connections(2).connect_with(world.of("user").superuser()).await.unwrap()
}

/// Waits until the saga has done what so many events ask of it.
async fn sagas_end(users: &PgPool, expected: i64) {
    eventually("the sagas are completed", || async {
        let completed = "SELECT count(*) FROM saga.instances WHERE saga = 'end_access' AND status = 'completed'";
        let completed: i64 = sqlx::query_scalar(completed).fetch_one(users).await.unwrap();
        (completed == expected).then_some(())
    })
    .await;
}

/// The beginnings and ends of sessions, in order.
async fn sessions(world: &World) -> Vec<String> {
    let mut auth = PgConnection::connect_with(&world.auth.superuser()).await.unwrap();
    let told = "SELECT event_type FROM log.events
                WHERE event_type IN ('auth.session.started', 'auth.account.sessions_ended') ORDER BY position";
    let told = sqlx::query_scalar(told).fetch_all(&mut auth).await.unwrap();
    auth.close().await.unwrap();
    told
}

#[tokio::test]
async fn a_sign_in_that_takes_a_role_away_ends_the_sessions_of_before_and_no_saga_ends_those_that_begin_then() {
    let (world, provider, mut before) = with_grace().await;
    let users = users(&world).await;
    // With this lock no saga starts.
    let mut late = users.begin().await.unwrap();
    sqlx::query("LOCK TABLE saga.instances IN SHARE MODE").execute(&mut *late).await.unwrap();
    let mut taking = signs_in(&world, &provider, GRACE, &[]).await;
    assert!(!is_in(&world, &mut before).await, "the session knew the role");
    assert!(is_in(&world, &mut taking).await);
    // A second sign-in finds the role taken already.
    let mut next = signs_in(&world, &provider, GRACE, &[]).await;
    let expected = [STARTED, STARTED, ENDED, STARTED, STARTED];
    assert_eq!(sessions(&world).await, expected);

    late.rollback().await.unwrap();
    sagas_end(&users, 1).await;
    assert_eq!(sessions(&world).await, expected, "the saga ended sessions again");
    assert!(is_in(&world, &mut taking).await && is_in(&world, &mut next).await);
    assert!(!is_in(&world, &mut before).await);
    users.close().await;
}

#[tokio::test]
async fn who_signs_in_after_an_administrator_took_a_role_away_ends_the_sessions_of_before_where_the_saga_has_not_yet() {
    let (world, provider, mut before) = with_grace().await;
    let users = users(&world).await;
    let id = user(&world, GRACE).await.unwrap()["id"].as_str().unwrap().to_owned();
    let revoke = async || {
        let path = format!("/v1/user/users/{id}/revoke-role");
        let revoked = world.post(&path, json!({ "role": "admin" })).await;
        assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    };
    let mut late = users.begin().await.unwrap();
    sqlx::query("LOCK TABLE saga.instances IN SHARE MODE").execute(&mut *late).await.unwrap();
    revoke().await;
    assert!(is_in(&world, &mut before).await, "nobody has ended anything");
    let mut next = signs_in(&world, &provider, GRACE, &["staff"]).await;
    assert!(!is_in(&world, &mut before).await);
    late.rollback().await.unwrap();
    sagas_end(&users, 1).await;
    assert!(is_in(&world, &mut next).await);
    assert_eq!(sessions(&world).await, [STARTED, STARTED, ENDED, STARTED]);

    // Whoever does not sign in is signed out by the saga, and a sign-in afterwards ends nothing more.
    revoke().await;
    sagas_end(&users, 2).await;
    assert!(!is_in(&world, &mut next).await);
    let mut expected = sessions(&world).await;
    signs_in(&world, &provider, GRACE, &["staff"]).await;
    expected.push(STARTED.to_owned());
    assert_eq!(sessions(&world).await, expected);
    users.close().await;
}
