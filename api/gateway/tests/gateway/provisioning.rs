//! Tenants come to be by one saga, and are shut out and let in again within a second.

use std::time::Duration;

use gateway::directory::{self, Directory, DirectoryError};
use gateway::{ProvisionError, Server, Services};
use kernel::{IdSource, Role, SystemIds};
use reqwest::{Method, StatusCode};
use serde_json::json;
use user_sagas::Standing;

use crate::standing::Open;
use crate::world::{Answer, World, token};

/// A gateway with a directory of its own.
pub async fn town() -> World {
    let world = World::start_with(|config| {
        config.postgres.directory = format!("test_directory_{}", SystemIds.next().simple());
        let (host, port) = (&config.postgres.host, config.postgres.port);
        config.postgres.admin_url =
            gateway::config::SecretText::new(format!("postgres://postgres@{host}:{port}/postgres"));
        config.mail.catch = true;
    })
    .await;
    directory::migrate(&world.config, false).await.unwrap();
    world
}

/// Asks until the answer has this status; a second is what it may take.
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
    tokio::time::timeout(Duration::from_secs(1), asked).await.expect("not within a second")
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
    gateway::suspend(&world.config, &acme, "not paid").await.unwrap();
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

    gateway::resume(&world.config, &acme).await.unwrap();
    within_a_second(&world, &ours, StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn a_suspension_that_the_directory_is_told_of_late_holds_in_each_process_too() {
    let world = Box::pin(town()).await;
    let acme = gateway::provision(&world.config, "globex", "Acme", None).await.unwrap();
    let ours = token(&world.config, acme.tenant_id, &[Role::Admin]);
    let directory = Directory::open(&world.config);
    gateway::suspend(&world.config, &acme, "not paid").await.unwrap();
    testbed::eventually("the directory is told", || async {
        (directory.suspended().await.unwrap() == [acme.tenant_id]).then_some(())
    })
    .await;
    // As if it was not told yet: the log is enough for who starts now.
    directory.note_standing(acme.tenant_id, Standing::Active).await.unwrap();
    let later = Server::start(world.config.clone(), Services::All).await.unwrap();
    let url = format!("http://{}/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001", later.addr());
    assert_eq!(Answer::of(world.client.get(&url).bearer_auth(&ours)).await.code(), "tenant_suspended");
    later.shutdown().await;
    // What the directory is told of something that was long before the log's end, who runs hears of in a while.
    let others = world.token(&[Role::Admin]);
    within_a_second(&world, &others, StatusCode::NOT_FOUND).await;
    directory.note_standing(world.tenant, Standing::Suspended).await.unwrap();
    testbed::eventually("it is heard of", || async {
        let lead = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";
        let answer = Answer::of(world.anonymous(Method::GET, lead).bearer_auth(&others)).await;
        (answer.code() == "tenant_suspended").then_some(())
    })
    .await;
}
