//! Provisioning of tenants by one saga; suspending and resuming take effect within a second.

use config::{Config, SecretText};
use directory::{Directory, DirectoryError};
use gateway::{ProvisionError, RewrapError, Server, Services, StartError};
use kernel::{Clock, Role, SystemClock, TenantId};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::Connection;
use user_sagas::TenantStanding;

use crate::standing::Open;
use crate::world::{Answer, Form, PROPAGATION, World, token};

/// A gateway that captures mail instead of sending it.
pub async fn town() -> World {
    town_with(|_| ()).await
}

/// The same, with a changed configuration.
pub async fn town_with(change: impl FnOnce(&mut Config)) -> World {
    let started = World::start_with(|config| {
        config.mail.catch = true;
        change(config);
    });
    Box::pin(started).await
}

/// Repeats a request until the response has this status, within [`PROPAGATION`].
pub async fn within_a_second(world: &World, token: &str, status: StatusCode) -> Answer {
    let asked = async {
        loop {
            let lead = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";
            let answer = Answer::of(world.anonymous(Method::GET, lead).bearer_auth(token)).await;
            if answer.status == status {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PROPAGATION, asked).await.expect("it is not heard of")
}

/// The number of a tenant's key rings, and of its signing keys.
async fn keys_of(world: &World, tenant: TenantId) -> (i64, i64) {
    let mut connection = sqlx::PgConnection::connect_with(&world.auth.superuser()).await.unwrap();
    let counted = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE event_type = 'auth.key_ring.opened'),
                count(*) FILTER (WHERE event_type = 'auth.key_ring.signing_key_added')
         FROM log.events
         WHERE tenant_id = $1",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    counted
}

#[tokio::test]
async fn a_tenant_is_made_once_and_its_owner_is_mailed_a_link() {
    let world = Box::pin(town()).await;
    let owner = Some("ada@acme.example".to_owned());
    let acme = gateway::provision(&world.config, "globex", "Acme Inc.", owner).await.unwrap();
    assert_eq!((acme.slug.as_str(), acme.name.as_str()), ("globex", "Acme Inc."));
    let again = gateway::provision(&world.config, "globex", "Another", None).await;
    assert!(
        matches!(&again, Err(ProvisionError::Directory(DirectoryError::Exists(slug))) if slug == "globex"),
        "{again:?}"
    );
    // Before anybody requests the keys or signs in.
    let (keys, signing) = keys_of(&world, acme.tenant_id).await;
    assert_eq!((keys, signing), (1, 2), "not one ring with a key of each algorithm");
    let shown = Answer::of(world.anonymous(Method::GET, "/t/globex/jwks")).await;
    assert_eq!(shown.body["keys"].as_array().unwrap().len(), 2, "{shown:?}");
    assert_eq!(keys_of(&world, acme.tenant_id).await, (1, 2), "looking made some more");
    let wrong = gateway::provision(&world.config, "Not a slug", "Acme", None).await;
    assert!(matches!(&wrong, Err(ProvisionError::Directory(DirectoryError::Slug(_)))), "{wrong:?}");
    assert!(Directory::open(&world.config).list().await.unwrap().contains(&acme));
    let mailed = testbed::eventually("the owner is mailed", || async {
        let answer = Answer::of(world.anonymous(Method::GET, "/dev/mail.json")).await;
        answer.body["mails"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(mailed["to"], "ada@acme.example");
    let text = mailed["text"].as_str().unwrap();
    let link = text.split("link=").nth(1).and_then(|rest| rest.split('\n').next()).unwrap();
    let body = json!({ "link": link, "name": "Ada Lovelace" });
    let accepted = Answer::of(world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&body)).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{accepted:?}");
}

#[tokio::test]
async fn attack_54_a_suspended_tenants_tokens_open_nothing_here_or_in_a_process_that_starts_later() {
    let world = Box::pin(town()).await;
    let acme = gateway::provision(&world.config, "globex", "Acme", None).await.unwrap();
    let ours = token(&world.config, acme.tenant_id, &[Role::Admin]);
    within_a_second(&world, &ours, StatusCode::NOT_FOUND).await;
    let (open, mut others) =
        (Open::bearing(&world, &ours).await, Open::bearing(&world, &world.token(&[Role::Admin])).await);
    assert!(gateway::suspend(&world.config, &acme, "not paid").await.unwrap());
    open.end_within_a_second().await;
    others.go_on(&world).await;
    let refused = within_a_second(&world, &ours, StatusCode::FORBIDDEN).await;
    assert_eq!(refused.code(), "tenant_suspended");
    refused.assert_problem();
    let write = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(&ours).json(&json!({ "name": "Eve" }));
    let query =
        world.anonymous(Method::POST, "/graphql").bearer_auth(&ours).json(&json!({ "query": "{ __typename }" }));
    world
        .refuses(vec![
            (write, StatusCode::FORBIDDEN, "tenant_suspended"),
            (query, StatusCode::FORBIDDEN, "tenant_suspended"),
        ])
        .await;
    assert!(!gateway::suspend(&world.config, &acme, "not paid yet").await.unwrap(), "nothing was to be done");
    within_a_second(&world, &world.token(&[Role::Admin]), StatusCode::NOT_FOUND).await;

    testbed::eventually("the directory knows", || async {
        let suspended = Directory::open(&world.config).suspended().await.unwrap();
        (suspended == [acme.tenant_id]).then_some(())
    })
    .await;
    let later = Server::start(world.config.clone(), Services::All).await.unwrap();
    let url = format!("http://{}/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001", later.addr());
    testbed::eventually("the later one knows", || async {
        let answer = Answer::of(world.client.get(&url).bearer_auth(&ours)).await;
        (answer.code() == "tenant_suspended").then_some(())
    })
    .await;
    later.shutdown().await;

    assert!(gateway::resume(&world.config, &acme).await.unwrap());
    assert!(!gateway::resume(&world.config, &acme).await.unwrap(), "nothing was to be done");
    within_a_second(&world, &ours, StatusCode::NOT_FOUND).await;
}

/// Every route of a tenant's issuer, requested by a program and by a browser.
fn of_issuer<'w>(
    world: &'w World,
    slug: &'w str,
    accept: &'w str,
) -> impl Iterator<Item = (String, reqwest::RequestBuilder)> + 'w {
    let filled =
        |path: &str| path.replace(":tenant", slug).replace(":connection", "0197a8a0-0000-7000-8000-000000000001");
    auth_api::provider::paths().filter(|(path, _)| path.contains(":tenant")).map(move |(path, method)| {
        let path = filled(path);
        let request = world.anonymous(method.clone(), &path).header("accept", accept);
        let form = [("grant_type", "client_credentials"), ("token", "x")];
        let request = if method == Method::POST { request.form(&form) } else { request };
        (format!("{method} {path}"), request)
    })
}

#[tokio::test]
async fn attack_88_the_issuer_and_the_links_of_a_tenant_that_is_shut_out() {
    let world = Box::pin(town()).await;
    let owner = Some("ada@globex.example".to_owned());
    let globex = gateway::provision(&world.config, "globex", "Globex", owner).await.unwrap();
    let link = testbed::eventually("the owner is mailed", || async {
        let answer = Answer::of(world.anonymous(Method::GET, "/dev/mail.json")).await;
        let text = answer.body["mails"].as_array()?.first()?["text"].as_str()?.to_owned();
        Some(text.split("link=").nth(1)?.split('\n').next()?.to_owned())
    })
    .await;
    let ours = token(&world.config, globex.tenant_id, &[Role::Admin]);
    within_a_second(&world, &ours, StatusCode::NOT_FOUND).await;
    // The issuer works, and signs tokens.
    let machine = json!({ "name": "sensor", "roles": ["viewer"] });
    let made = Answer::of(world.anonymous(Method::POST, "/v1/auth/machines").bearer_auth(&ours).json(&machine)).await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    let set = world.anonymous(Method::POST, &format!("/v1/auth/machines/{id}/secret")).bearer_auth(&ours);
    let secret = Answer::of(set.json(&json!({}))).await.body["secret"].as_str().unwrap().to_owned();
    let asked = || {
        let request = world.anonymous(Method::POST, "/t/globex/token").basic_auth(&id, Some(&secret));
        request.form(&[("grant_type", "client_credentials")])
    };
    let access = Answer::of(asked()).await.body["access_token"].as_str().unwrap().to_owned();
    gateway::suspend(&world.config, &globex, "not paid").await.unwrap();
    within_a_second(&world, &ours, StatusCode::FORBIDDEN).await;
    // Waits for the sagas of both tenants.
    let heads = async || (world.head_of_all(world.of("auth")).await, world.head_of(world.of("user")).await);
    let before = heads().await;
    let mut asked_for = 0;
    for (what, request) in of_issuer(&world, "globex", "application/json") {
        let answer = Answer::of(request).await;
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (StatusCode::FORBIDDEN, &json!("tenant_suspended")),
            "{what}"
        );
        asked_for += 1;
    }
    assert!(asked_for > 40, "{asked_for} routes");
    for (what, request) in of_issuer(&world, "globex", "text/html") {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{what}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("Sign-in is not available right now") && page.contains("suspended"), "{what}: {page}");
    }
    // Valid credentials are refused, too: a secret, a token, or a mailed link.
    let introspect = world.anonymous(Method::POST, "/t/globex/introspect").basic_auth(&id, Some(&secret));
    for request in [
        asked(),
        introspect.form(&[("token", &access)]),
        world.anonymous(Method::GET, "/t/globex/userinfo").bearer_auth(&access),
    ] {
        let answer = Answer::of(request).await;
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (StatusCode::FORBIDDEN, &json!("tenant_suspended")),
            "{answer:?}"
        );
    }
    let body = json!({ "link": link, "name": "Ada Lovelace" });
    let accept = || world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&body);
    let verify = world.anonymous(Method::POST, "/v1/user/email/verify").json(&json!({ "link": link }));
    let accepted = Answer::of(accept()).await;
    assert_eq!((accepted.status, accepted.code()), (StatusCode::FORBIDDEN, "tenant_suspended"));
    accepted.assert_problem();
    // A link for another purpose reveals nothing about any tenant.
    assert_eq!(Answer::of(verify).await.code(), "link_not_good");
    let led = world.anonymous(Method::GET, &format!("/invitation?link={link}")).send().await.unwrap();
    assert_eq!(led.status(), StatusCode::FORBIDDEN);
    assert_eq!(heads().await, before, "something was written");
    // The other tenant's issuer works, and this tenant's works again when it is resumed.
    assert_eq!(Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await.status, StatusCode::OK);
    gateway::resume(&world.config, &globex).await.unwrap();
    within_a_second(&world, &ours, StatusCode::NOT_FOUND).await;
    assert_eq!(Answer::of(asked()).await.status, StatusCode::OK);
    assert_eq!(Answer::of(accept()).await.status, StatusCode::CREATED);
    // A tenant that is to be deleted has no issuer either.
    gateway::delete(&world.config, "globex", "contract ended", 30).await.unwrap();
    within_a_second(&world, &ours, StatusCode::FORBIDDEN).await;
    assert_eq!(Answer::of(asked()).await.body["error"], "tenant_suspended");
}

#[tokio::test]
async fn attack_54_a_suspension_that_the_directory_is_told_of_late_holds_in_each_process_too() {
    let world = Box::pin(town()).await;
    let acme = gateway::provision(&world.config, "globex", "Acme", None).await.unwrap();
    let ours = token(&world.config, acme.tenant_id, &[Role::Admin]);
    let directory = Directory::open(&world.config);
    gateway::suspend(&world.config, &acme, "not paid").await.unwrap();
    testbed::eventually("the directory is told", || async {
        (directory.suspended().await.unwrap() == [acme.tenant_id]).then_some(())
    })
    .await;
    // As if the directory was not updated yet: the log is enough for a process that starts now.
    directory.note_standing(acme.tenant_id, TenantStanding::Active).await.unwrap();
    let later = Server::start(world.config.clone(), Services::All).await.unwrap();
    let url = format!("http://{}/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001", later.addr());
    testbed::eventually("the later one knows", || async {
        (Answer::of(world.client.get(&url).bearer_auth(&ours)).await.code() == "tenant_suspended").then_some(())
    })
    .await;
    later.shutdown().await;
    // A standing that only the directory has is noticed by running processes when they read it again.
    let others = world.token(&[Role::Admin]);
    within_a_second(&world, &others, StatusCode::NOT_FOUND).await;
    directory.note_standing(world.tenant, TenantStanding::Suspended).await.unwrap();
    testbed::eventually("it is heard of", || async {
        let lead = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";
        let answer = Answer::of(world.anonymous(Method::GET, lead).bearer_auth(&others)).await;
        (answer.code() == "tenant_suspended").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_operator_is_told_why_a_tenant_could_not_be_made() {
    let world = Box::pin(town()).await;
    // Another one is being made under this name, which no list shows yet.
    let directory = Directory::open(&world.config);
    directory.reserve(testbed::tenant(), "globex", "Globex", SystemClock.now()).await.unwrap();
    let refused = gateway::provision(&world.config, "globex", "Another", None).await.unwrap_err();
    assert!(matches!(refused, ProvisionError::Abandoned { .. }), "{refused}");
    assert_eq!(refused.to_string(), "the tenant globex could not be made: the short name globex is taken");
    assert_eq!(directory.list().await.unwrap().len(), 1, "acme alone");
}

#[tokio::test]
async fn attack_242_under_another_master_key_no_server_starts_and_no_operator_writes() {
    let mut world = Box::pin(town()).await;
    world.lead("Ada Lovelace").await;
    // Nothing else is written after that.
    world.server.take().unwrap().shutdown().await;
    let (before, tenants) = (world.head().await, Directory::open(&world.config).list().await.unwrap());
    let mut config = world.config.clone();
    config.auth.master_key = SecretText::new("5d".repeat(32));
    for services in [Services::All, Services::One(crm_api::SERVICE)] {
        let Err(refused) = Server::start(config.clone(), services).await else { panic!("it serves") };
        let said = refused.to_string();
        assert!(matches!(refused, StartError::WriteSide(_)) && said.contains("INOPSIO_MASTER_KEY"), "{said}");
    }
    let refused = gateway::provision(&config, "hooli", "Hooli", None).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, ProvisionError::WriteSide(_)) && said.contains("INOPSIO_MASTER_KEY"), "{said}");
    let refused = gateway::rewrap(&config, 100, false, &|_, _| ()).await.unwrap_err();
    assert!(matches!(refused, RewrapError::Start(_)), "{refused}");
    assert_eq!((world.head().await, Directory::open(&config).list().await.unwrap()), (before, tenants));
}

#[tokio::test]
async fn attack_238_under_another_claim_key_no_server_starts_and_no_operator_writes() {
    let mut world = Box::pin(town()).await;
    gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    world.lead("Ada Lovelace").await;
    // Nothing else is written after that.
    world.server.take().unwrap().shutdown().await;
    let before = world.head().await;
    let mut config = world.config.clone();
    config.postgres.claim_key = SecretText::new("5d".repeat(32));
    for services in [Services::All, Services::One(crm_api::SERVICE)] {
        let Err(refused) = Server::start(config.clone(), services).await else { panic!("it serves") };
        let said = refused.to_string();
        assert!(matches!(refused, StartError::WriteSide(_)) && said.contains("INOPSIO_CLAIM_KEY"), "{said}");
    }
    let globex = Directory::open(&config).find("globex").await.unwrap();
    let refused = gateway::suspend(&config, &globex, "by mistake").await.unwrap_err();
    assert!(matches!(refused, ProvisionError::WriteSide(_)), "{refused}");
    let refused = gateway::provision(&config, "hooli", "Hooli", None).await.unwrap_err();
    assert!(matches!(refused, ProvisionError::WriteSide(_)), "{refused}");
    assert_eq!(world.head().await, before, "nothing was written");
}

#[tokio::test]
async fn attack_261_nor_is_a_mark_left_by_a_server_or_an_operator_whom_another_log_refuses() {
    let mut world = Box::pin(town()).await;
    gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    world.lead("Ada Lovelace").await;
    // Nothing else is written after that.
    world.server.take().unwrap().shutdown().await;
    let before = world.head().await;
    // As it was before logs had marks. This log is the first one that a server opens.
    let mut crm = sqlx::PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    sqlx::query("DELETE FROM log.claim_key").execute(&mut crm).await.unwrap();
    let mut config = world.config.clone();
    config.postgres.claim_key = SecretText::new("5d".repeat(32));
    for services in [Services::All, Services::One(crm_api::SERVICE)] {
        let Err(refused) = Server::start(config.clone(), services).await else { panic!("it serves") };
        let said = refused.to_string();
        assert!(said.contains("INOPSIO_CLAIM_KEY") && !said.starts_with("the service crm"), "{said}");
    }
    let refused = gateway::provision(&config, "hooli", "Hooli", None).await.unwrap_err();
    assert!(matches!(refused, ProvisionError::WriteSide(_)), "{refused}");
    let refused = gateway::rewrap(&config, 100, false, &|_, _| ()).await.unwrap_err();
    assert!(matches!(refused, RewrapError::Start(_)), "{refused}");
    let marks: i64 = sqlx::query_scalar("SELECT count(*) FROM log.claim_key").fetch_one(&mut crm).await.unwrap();
    assert_eq!((marks, world.head().await), (0, before), "nothing was written");
}
