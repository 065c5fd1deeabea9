//! Pages: their content security policy, and what they show.

use chrono::TimeDelta;
use reqwest::StatusCode;
use testbed::Browser;

use crate::world::{PASSWORD, Visits, World};

#[tokio::test]
async fn a_page_loads_nothing_runs_nothing_and_leads_to_its_client_only() {
    let world = World::start().await;
    let app = world.client(false).await;
    let page = Browser::default().visit(&world, &app.asks(&[])).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self' https://app.example.com;") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.body.contains("<script") && !page.body.contains(" style="), "{}", page.body);
    for (name, value) in
        [("cache-control", "no-store"), ("referrer-policy", "same-origin"), ("x-frame-options", "DENY")]
    {
        assert_eq!(page.header(name), value, "{name}");
    }
    for id in ["login", "password"] {
        assert!(page.body.contains(&format!("for=\"{id}\"")) && page.body.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

#[tokio::test]
async fn what_a_client_calls_itself_and_what_is_typed_is_text_and_no_markup() {
    let world = World::start().await;
    let app = world.client(true).await;
    let evil = "\"><script>alert(1)</script>";
    let page = Browser::default().visit(&world, &app.asks(&[("login_hint", evil)])).await;
    assert!(page.body.contains("&quot;&gt;&lt;script&gt;"), "{}", page.body);
    assert!(!page.body.contains("<script"), "{}", page.body);
}

#[tokio::test]
async fn a_link_sets_a_password_once_and_not_a_weak_one() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    world.clock.advance(TimeDelta::minutes(5));
    let token = &*world.password_token(ada).await;
    let mut browser = Browser::default();
    let before = world.head().await;
    let weak = browser.fill_in(&world, "password", &[("token", token), ("password", "lovelace1")]).await;
    assert_eq!(weak.status, StatusCode::BAD_REQUEST);
    assert!(weak.body.contains("role=\"alert\"") && weak.body.contains("easily guessed"), "{}", weak.body);
    assert!(!weak.body.contains("lovelace1"), "the page shows the password");
    assert_eq!(world.head().await, before, "something was written");
    let form = [("token", token), ("password", "umbrella-cactus-violin")];
    assert_eq!(browser.fill_in(&world, "password", &form).await.status, StatusCode::OK);
    let again = browser.fill_in(&world, "password", &form).await;
    assert_eq!(again.status, StatusCode::GONE, "{again:?}");
    assert!(again.body.contains(r#"<a href="/t/acme/forgot">"#), "{again:?}");
    world.clock.advance(TimeDelta::seconds(1));
    let app = world.client(true).await;
    let old = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    let new = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", "umbrella-cactus-violin").await;
    assert_eq!(new.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn no_secret_stands_in_the_log_in_the_clear() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let code = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let tokens = crate::world::json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let log: String = {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect_with(&world.database.superuser()).await.unwrap();
        let all = "SELECT string_agg(e::text, E'\\n') FROM log.events e";
        let text = sqlx::query_scalar(all).fetch_one(&mut connection).await.unwrap();
        let answers: Option<String> = sqlx::query_scalar("SELECT string_agg(c::text, E'\\n') FROM log.commands c")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        format!("{}{}", Option::<String>::unwrap_or_default(text), answers.unwrap_or_default())
    };
    let (session, remembered) = (&browser.cookies["inopsio-acme"], &browser.cookies["inopsio-browser-acme"]);
    let secrets = [
        PASSWORD,
        &app.secret,
        &code,
        session,
        remembered,
        tokens["refresh_token"].as_str().unwrap(),
        "argon2id",
        "PRIVATE KEY",
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    assert!(log.contains("auth.session.started"), "this looked at the wrong log");
}
