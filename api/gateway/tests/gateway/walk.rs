//! Every operation of the contract and every GraphQL query field, as an anonymous client, as each role, and as another tenant. A
//! handwritten [table](super::needs) lists what each needs; one that is missing in it fails the test. (For the fields below, see
//! [`fields`](super::fields).)

use std::collections::{BTreeMap, BTreeSet};

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::authentication::walked;
use crate::needs::{ANY, OPERATIONS, PUBLIC, QUESTIONS, grants, may};
use crate::schema::{Question, Schema};
use crate::unasked::schema_of;
use crate::world::{Answer, World};

/// A cursor at which another page may begin.
const PAGE: &str = "?after=0197a8a0-0000-7000-8000-000000000002";

#[tokio::test]
async fn every_operation_is_allowed_to_whom_the_table_says_and_to_nobody_else() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let listed: BTreeMap<&str, (&str, &str)> =
        OPERATIONS.iter().map(|(id, needs, body)| (*id, (*needs, *body))).collect();
    let (grants, mut walked_ids) = (grants(), BTreeSet::new());
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
        {
            let id = operation["operationId"].as_str().unwrap();
            let (needs, body) = listed.get(id).unwrap_or_else(|| {
                panic!("{method} {pattern} ({id}) is not in OPERATIONS: say there which permission it needs")
            });
            walked_ids.insert(id.to_owned());
            let method: Method = method.to_uppercase().parse().unwrap();
            let ask = async |token: Option<String>| {
                let request = world.anonymous(method.clone(), &walked(pattern));
                let request = match *body {
                    "" => request,
                    "csv" => request.header("content-type", "text/csv").body("name\nAda\n"),
                    json => request.header("content-type", "application/json").body(json),
                };
                let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
                // A feed has no end, so the body of a success is not read.
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let code = if status.is_success() { Value::Null } else { answer.json::<Value>().await.unwrap() };
                (status, code["code"].as_str().unwrap_or_default().to_owned())
            };
            let (anonymous, code) = ask(None).await;
            if *needs == PUBLIC {
                assert_ne!(anonymous, StatusCode::UNAUTHORIZED, "{id} is public");
            } else {
                assert_eq!((anonymous, code.as_str()), (StatusCode::UNAUTHORIZED, "token_missing"), "{id}");
            }
            for role in Role::ALL {
                let (status, code) = ask(Some(world.token(&[role]))).await;
                let refused = (status, code.as_str()) == (StatusCode::FORBIDDEN, "permission_missing");
                assert_eq!(!refused, may(&grants, role, needs), "{id} as {role}: {status} {code}");
                assert!(!status.is_server_error(), "{id} as {role}: {status} {code}");
            }
            let (status, _) = ask(Some(world.token(&[]))).await;
            let open = *needs == PUBLIC || *needs == ANY;
            assert_eq!(status == StatusCode::FORBIDDEN, !open, "{id} without any role: {status}");
            // The id in the path does not exist: its own tenant and a stranger get the same answer.
            if pattern.contains('{') && *needs != ANY {
                let (own, stranger) = (ask(Some(world.token(&[Role::Admin]))).await, ask(Some(world.stranger())).await);
                assert_eq!(own, stranger, "{id}");
            }
        }
    }
    let gone: Vec<_> = listed.keys().filter(|id| !walked_ids.contains(**id)).collect();
    assert!(gone.is_empty(), "OPERATIONS lists what is not in the contract: {gone:?}");
}

/// Path parameters that are not ids of a tenant's resources: services and event types are the same for all.
const EVERYBODYS: &[&str] = &["{service}", "{type}", "{version}"];

#[tokio::test]
async fn what_the_path_names_and_is_not_there_is_404_for_each_operation_and_each_page_of_each_list() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let bodies: BTreeMap<&str, &str> = OPERATIONS.iter().map(|(id, _, body)| (*id, *body)).collect();
    let mut asked = 0;
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        if !pattern.split('/').any(|part| part.starts_with('{') && !EVERYBODYS.contains(&part)) {
            continue;
        }
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            // The metadata are parsed before the connection is looked up.
            if id == "changeSamlConnection" {
                continue;
            }
            // A further page of a list of an unknown resource gets 404, too, whatever cursor is sent.
            let after = operation["parameters"].as_array().unwrap().iter().find(|one| one["name"] == "after");
            let pages = after.map(|after| if after["schema"]["type"] == "integer" { "?after=1" } else { PAGE });
            for page in [""].into_iter().chain(pages) {
                let path = format!("{}{page}", walked(pattern));
                for token in [world.token(&[Role::Admin]), world.stranger()] {
                    let request = world.anonymous(method.to_uppercase().parse().unwrap(), &path).bearer_auth(token);
                    let request = match bodies[id] {
                        "" => request,
                        json => request.header("content-type", "application/json").body(json),
                    };
                    let answer = Answer::of(request).await;
                    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id} {path}: {answer:?}");
                    answer.assert_problem();
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 200, "{asked}");
}

#[tokio::test]
async fn a_header_that_the_contract_names_is_understood_and_with_one_that_it_does_not_name_nothing_is_done() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let bodies: BTreeMap<&str, (&str, &str)> =
        OPERATIONS.iter().map(|(id, needs, body)| (*id, (*needs, *body))).collect();
    let (mut named, mut unnamed) = (0, 0);
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap().iter().filter(|(method, _)| *method == "post") {
            let id = operation["operationId"].as_str().unwrap();
            let (needs, body) = bodies[id];
            if needs == PUBLIC {
                continue;
            }
            for (header, value) in [("Occurred-At", "2020-01-01T00:00:00Z"), ("If-Match", "\"7\"")] {
                let request = world.request(method.to_uppercase().parse().unwrap(), &walked(pattern));
                let request = match body {
                    "csv" => request.header("content-type", "text/csv").body("name\nAda\n"),
                    json => request.header("content-type", "application/json").body(json),
                };
                let answer = Answer::of(request.header(header, value)).await;
                let parameters = operation["parameters"].as_array().unwrap();
                if parameters.iter().any(|parameter| parameter["name"] == header) {
                    named += 1;
                    let refused = ["header_invalid", "permission_missing"].contains(&answer.code());
                    assert!(!refused, "{id} is said to understand {header}: {answer:?}");
                } else {
                    unnamed += 1;
                    assert!(!answer.status.is_success(), "{id} is not said to understand {header}: {answer:?}");
                }
            }
        }
    }
    assert!(named > 120 && unnamed > 50, "{named} named, {unnamed} not");
}

#[tokio::test]
async fn every_example_of_the_contract_is_a_body_that_is_taken() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let mut sent = 0;
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            // The metadata are an XML document, which is abbreviated in the example.
            if operation["requestBody"]["content"].get("application/json").is_none() || id.ends_with("SamlConnection") {
                continue;
            }
            let request = world.request(Method::POST, &walked(pattern));
            let answer = Answer::of(request.json(&schema_of(&contract, operation)["example"])).await;
            assert_ne!(answer.code(), "validation_failed", "{id}: {answer:?}");
            assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{id}: {answer:?}");
            sent += 1;
        }
    }
    assert!(sent > 120, "{sent}");
}

#[tokio::test]
async fn every_question_is_answered_to_whom_the_table_says_and_to_nobody_else() {
    let world = World::unlimited().await;
    let listed: BTreeMap<&str, &str> = QUESTIONS.iter().copied().collect();
    let (grants, mut walked) = (grants(), BTreeSet::new());
    for Question { name, text, .. } in Schema::of(&world).await.questions("queryType", |_, _| None) {
        let needs = listed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is not in QUESTIONS: say there which permission it needs"));
        let asked = json!({ "query": text.replace('@', "__typename") });
        let anonymous = Answer::of(world.anonymous(Method::POST, "/graphql").json(&asked)).await;
        assert_eq!((anonymous.status, anonymous.code()), (StatusCode::UNAUTHORIZED, "token_missing"), "{name}");
        for role in Role::ALL {
            let request = world.anonymous(Method::POST, "/graphql").bearer_auth(world.token(&[role]));
            let answer = Answer::of(request.json(&asked)).await;
            assert_eq!(answer.status, StatusCode::OK, "{text}: {answer:?}");
            let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
            let refused = errors.iter().any(|error| error["extensions"]["code"] == "permission_missing");
            assert_eq!(!refused, may(&grants, role, needs), "{name} as {role}: {errors:?}");
            assert!(refused || errors.is_empty(), "{name} as {role}: {errors:?}");
        }
        walked.insert(name);
    }
    let gone: Vec<_> = listed.keys().filter(|question| !walked.contains(**question)).collect();
    assert!(gone.is_empty(), "QUESTIONS lists what GraphQL does not have: {gone:?}");
}
