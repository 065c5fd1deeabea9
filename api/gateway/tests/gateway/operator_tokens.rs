//! Tokens for the command line: it is a machine of the tenant, and the tenant's issuer signs.

use std::net::SocketAddr;
use std::time::Duration;

use directory::{Directory, Tenant};
use gateway::operator::{self, IssueError};
use kernel::{Role, SystemClock, SystemIds};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Answer, World};

const HOUR: Duration = Duration::from_hours(1);

fn address(world: &World) -> SocketAddr {
    world.url.strip_prefix("http://").unwrap().parse().unwrap()
}

async fn acme(world: &World) -> Tenant {
    Directory::open(&world.config).find("acme").await.unwrap()
}

async fn issue(world: &World, roles: &[Role]) -> Result<String, IssueError> {
    operator::issue(&world.config, address(world), &acme(world).await, roles, HOUR).await
}

async fn with(world: &World, token: &str, method: Method, path: &str, body: Value) -> Answer {
    let request = world.anonymous(method.clone(), path).bearer_auth(token);
    Answer::of(if method == Method::GET { request } else { request.json(&body) }).await
}

/// The machines of the tenant, by name.
async fn machines(world: &World) -> Vec<(String, String)> {
    let head = world.head_of_all(&world.auth).await;
    let query = json!({ "query": "{ auth { machines(first: 50) { nodes { id name } } } }" });
    let request = world.request(Method::POST, "/graphql").header("x-min-position", format!("auth={head}"));
    let answer = Answer::of(request.json(&query)).await;
    let nodes = answer.body["data"]["auth"]["machines"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    let text = |node: &Value, member: &str| node[member].as_str().unwrap().to_owned();
    nodes.iter().map(|node| (text(node, "id"), text(node, "name"))).collect()
}

#[tokio::test]
async fn the_command_line_is_a_machine_of_the_tenant_and_may_what_its_roles_may() {
    let world = World::start().await;
    let viewer = issue(&world, &[Role::Viewer]).await.unwrap();
    let again = issue(&world, &[Role::Viewer, Role::Viewer]).await.unwrap();
    assert_ne!(viewer, again, "each token is one of its own");
    let admin = issue(&world, &[Role::Admin]).await.unwrap();
    let (lead, new) = (world.lead("Ada").await, json!({ "name": "Grace" }));
    let path = format!("/v1/crm/leads/{lead}");
    for token in [&viewer, &again, &admin] {
        assert_eq!(with(&world, token, Method::GET, &path, Value::Null).await.status, StatusCode::OK);
    }
    let refused = with(&world, &viewer, Method::POST, "/v1/crm/leads", new.clone()).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "permission_missing"));
    assert_eq!(with(&world, &admin, Method::POST, "/v1/crm/leads", new).await.status, StatusCode::CREATED);

    // There is one machine for each set of roles, which the tenant sees and can deactivate like any other.
    let mut found = machines(&world).await;
    found.sort_by(|a, b| a.1.cmp(&b.1));
    let names: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["inopsio command line (admin)", "inopsio command line (viewer)"]);
    let ended = world.post(&format!("/v1/auth/machines/{}/deactivate", found[1].0), json!({})).await;
    assert_eq!(ended.status, StatusCode::OK, "{ended:?}");
    let refused = async {
        while with(&world, &viewer, Method::GET, &path, Value::Null).await.status != StatusCode::UNAUTHORIZED {}
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("still accepted");
    let head = world.head().await;
    let error = issue(&world, &[Role::Viewer]).await.unwrap_err();
    assert!(matches!(error, IssueError::Deactivated { .. }) && error.to_string().contains(&found[1].0), "{error}");
    assert_eq!(world.head().await, head, "and nothing was written");
}

#[tokio::test]
async fn a_machine_that_somebody_gave_other_roles_is_not_the_command_line_any_more() {
    let world = World::start().await;
    issue(&world, &[Role::Viewer]).await.unwrap();
    let (id, name) = machines(&world).await.remove(0);
    let changed =
        world.post(&format!("/v1/auth/machines/{id}/change"), json!({ "name": name, "roles": ["admin"] })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let head = world.head().await;
    let error = issue(&world, &[Role::Viewer]).await.unwrap_err();
    assert!(matches!(&error, IssueError::Changed { roles, .. } if roles == "admin"), "{error}");
    assert_eq!(world.head().await, head, "and nothing was written");
}

#[tokio::test]
async fn no_token_is_issued_and_nothing_written_for_a_tenant_of_another_cell() {
    let world = World::start().await;
    let mut config = world.config.clone();
    config.directory.cell = Some("west".to_owned());
    let globex = Directory::open(&config).create("globex", "Globex", &SystemClock, &SystemIds).await.unwrap();
    config.directory.cell = Some("east".to_owned());
    let head = world.head().await;
    let error = operator::issue(&config, address(&world), &globex, &[Role::Admin], HOUR).await.unwrap_err();
    assert!(error.to_string().contains("lives in the cell west"), "{error}");
    assert_eq!(world.head().await, head, "nothing was written");
}

#[tokio::test]
async fn without_the_master_key_or_an_address_there_is_no_token() {
    let world = World::start().await;
    let head = world.head().await;
    let error = operator::address(&world.config).unwrap_err();
    assert!(error.to_string().contains("http.public_url"), "{error}");
    let mut config = world.config.clone();
    config.auth.master_key = config::SecretText::default();
    let error = operator::issue(&config, address(&world), &acme(&world).await, &[Role::Admin], HOUR).await.unwrap_err();
    assert!(error.to_string().contains("INOPSIO_MASTER_KEY"), "{error}");
    assert_eq!(world.head().await, head, "and nothing was written");
}
