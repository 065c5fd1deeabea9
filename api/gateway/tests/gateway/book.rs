//! Checks the book (`docs/src/`) against the program: its requests are operations of the contract, its API guide has the effects that it
//! describes, and its queries are answered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kernel::{Clock as _, SystemClock};
use regex::Regex;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use testbed::eventually;

use crate::contracts::openapi;
use crate::examples::{components, errors, validator};
use crate::needs::ID;
use crate::websocket::Socket;
use crate::world::{Answer, World};

/// The base URLs in the book's examples.
const ADDRESS: &str = "http://127.0.0.1:8080";

fn pages() -> Vec<(String, String)> {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src");
    let mut files: Vec<PathBuf> = std::fs::read_dir(book).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    let named = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), path);
    files.into_iter().map(named).map(|(name, path)| (name, std::fs::read_to_string(path).unwrap())).collect()
}

fn page(name: &str) -> String {
    pages().into_iter().find(|(page, _)| page == name).unwrap().1
}

/// The code blocks of a page in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    let begun = page.split(&fence).skip(1);
    begun.map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// The operation of the contract that a request in the book is for.
fn operation<'c>(contract: &'c Value, method: &str, path: &str) -> Option<&'c Value> {
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let asked = parts(path);
    let stands_for = |part: &str| part.starts_with(['$', '<', '{']);
    let fits = |pattern: &str| {
        let named = parts(pattern);
        let part = |(named, asked): (&String, &String)| named == asked || stands_for(named) || stands_for(asked);
        named.len() == asked.len() && named.iter().zip(&asked).all(part)
    };
    let mut paths = contract["paths"].as_object().unwrap().iter().filter(|(pattern, _)| fits(pattern));
    paths.find_map(|(_, operations)| operations.get(method.to_lowercase()))
}

/// Reads the shell blocks of a page: each command becomes one line, with its placeholders filled in.
fn written_out(page: &str) -> String {
    let mut text = page.replace("\\\n", " ").replace("…the id…", ID);
    let url = pattern(r"(?m)^URL=(\S+)$").captures(&text).map(|found| found[1].to_owned());
    if let Some(url) = url {
        text = text.replace("$URL", &url);
    }
    // Shell substitutions in bodies: ids, and files in base64.
    let text = pattern(r"'\$[A-Z]+'").replace_all(&text, ID).into_owned();
    pattern(r"'\$\(base64[^)]*\)'").replace_all(&text, "aGVsbG8=").into_owned()
}

#[test]
fn every_request_that_the_book_names_is_one_that_the_contract_has() {
    let contract = openapi();
    let components = components(&contract);
    let said = pattern(r"`(GET|POST) (/v1/[^`\s?]*)[^`]*`");
    let sent = pattern(r#"(?:api |http://127\.0\.0\.1:8080)(/v1/[^\s'"?]+)"#);
    let body = pattern(r"-d '(\{.*\})'");
    let (mut wrong, mut seen, mut bodies) = (Vec::new(), 0, 0);
    for (name, text) in pages() {
        let text = written_out(&text);
        let said = said.captures_iter(&text).map(|found| (found[1].to_owned(), found[2].to_owned(), None));
        let lines = text.lines().filter(|line| line.contains("api /v1/") || line.contains("curl "));
        let sent = lines.flat_map(|line| {
            let posts = ["-X POST", " -d ", "--data-binary"].iter().any(|option| line.contains(option));
            let method = if posts { "POST" } else { "GET" };
            // The body of a request that is shown with a refusal does not match the contract's schema.
            let taken = !line.contains("# 400 ");
            let data = body.captures(line).filter(|_| taken).map(|found| found[1].to_owned());
            sent.captures_iter(line).map(move |found| (method.to_owned(), found[1].to_owned(), data.clone()))
        });
        for (method, path, sent) in said.chain(sent) {
            // Abbreviated paths can't be looked up.
            if path.contains('…') || path.ends_with('*') {
                continue;
            }
            seen += 1;
            let Some(operation) = operation(&contract, &method, path.trim_end_matches('/')) else {
                wrong.push(format!("{name}: {method} {path} is not there"));
                continue;
            };
            let Some(sent) = sent else { continue };
            bodies += 1;
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            match serde_json::from_str(&sent) {
                Ok(sent) => {
                    let found = errors(&validator(&components, schema), &sent);
                    wrong.extend(found.into_iter().map(|error| format!("{name}: {path}: {error} in {sent}")));
                }
                Err(error) => wrong.push(format!("{name}: {path}: {error} in {sent}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 80 && bodies > 25, "{seen} seen, with {bodies} bodies: this test can't read the book any more");
}

/// What the book says about each of its calls: the status and the code of its refusal, if it is refused.
fn expected(script: &str) -> Vec<Option<(u16, String)>> {
    let call = pattern(r"(^|\$\(|\| )(api /|curl )");
    let refused = pattern(r"# (4\d\d) ([a-z_]+)$");
    let calls = script.lines().filter(|line| !line.starts_with("api()") && call.is_match(line));
    let said = |line: &str| refused.captures(line).map(|found| (found[1].parse().unwrap(), found[2].to_owned()));
    calls.map(said).collect()
}

/// Records the status and the body of each call, beside its output.
const NOTING: &str = r#"
set -uo pipefail
curl() {
  local out; out=$(command curl --max-time 30 -w $'\n%{http_code}' "$@") || return
  local status=${out##*$'\n'}; out=${out%$'\n'*}
  printf '%s\n' "$out"
  printf '%s %s\n' "$status" "${out//$'\n'/ }" >> answers
}
"#;

/// Runs the commands of the API guide and of the beginning of the cookbook in order. None: `curl` or `jq` is missing here.
fn run_guide(world: &World) -> Option<Vec<(u16, Value)>> {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
    if !there("curl") || !there("jq") {
        eprintln!("left out: the API guide is run with curl and jq, which are not here");
        return None;
    }
    let guide: Vec<_> = ["api.md", "graphql.md"].iter().flat_map(|name| blocks(&page(name), "sh")).collect();
    let guide = guide.join("\n").replace(ADDRESS, &world.url);
    let token = format!("export TOKEN={}", world.token(&[kernel::Role::Admin]));
    let guide = pattern("(?m)^export TOKEN=.*$").replace(&guide, token).into_owned();
    let folder = std::env::temp_dir().join(format!("inopsio-book-{}", testbed::free_port()));
    std::fs::create_dir_all(&folder).unwrap();
    let done = Command::new("bash").arg("-c").arg(format!("{NOTING}\n{guide}")).current_dir(&folder).output().unwrap();
    let answers = std::fs::read_to_string(folder.join("answers")).unwrap_or_default();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let expected = expected(&guide);
    let answers: Vec<(u16, Value)> = answers
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(status, body)| (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null)))
        .collect();
    assert_eq!(answers.len(), expected.len(), "{answers:#?}");
    assert!(expected.len() > 15, "{expected:?}");
    for (nth, ((status, body), expected)) in answers.iter().zip(&expected).enumerate() {
        if let Some((refused, code)) = expected {
            assert_eq!((status, &body["code"]), (refused, &json!(code)), "call {nth}: {body}");
        } else {
            let answered = body["data"].is_null() || body["errors"].is_null();
            assert!((200..300).contains(status) && answered, "call {nth}: {status} {body}");
        }
    }
    Some(answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_guide_does_what_it_says() {
    let world = World::unlimited().await;
    let Some(answers) = tokio::task::block_in_place(|| run_guide(&world)) else { return };
    // The problem document on the page is the one that its request gets.
    let shown: Map<String, Value> = serde_json::from_str(&blocks(&page("api.md"), "json")[0]).unwrap();
    let got = answers.iter().find(|(_, body)| body["code"] == shown["code"]).unwrap();
    for (member, value) in &shown {
        assert_eq!(&got.1[member], value, "{member}");
    }
    // A repeated request with the same idempotency key gets the same answer.
    let contacts: BTreeSet<_> = answers.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0].0).collect();
    assert_eq!(contacts, BTreeSet::from([201]));
}

/// Creates some of the data that the cookbook queries; returns the values for the ids in its queries.
async fn furnish(world: &World) -> Map<String, Value> {
    let done = async |path: &str, body: Value| {
        let done = world.post(path, body).await;
        assert!(done.status.is_success(), "{path}: {done:?}");
        done
    };
    let stages = json!([{ "name": "Discovery", "probability": 20 }]);
    let pipeline = done("/v1/crm/pipelines", json!({ "name": "Sales", "stages": stages })).await.body["id"].clone();
    let opportunity = json!({
        "name": "UNIVAC", "pipeline": pipeline, "amount": { "minor": 100, "currency": "EUR" }, "close_date": "2030-01-01"
    });
    let mut ids = Map::from_iter([("pipeline".to_owned(), pipeline.clone())]);
    let mut last = done("/v1/crm/currencies/set-base", json!({ "base": "EUR" })).await;
    for convert in [false, true] {
        let lead =
            done("/v1/crm/leads", json!({ "name": "Grace", "company": "Navy", "source": "referral" })).await.body["id"]
                .clone();
        let path = format!("/v1/crm/leads/{}", lead.as_str().unwrap());
        done(&format!("{path}/assign"), json!({ "owner": "ada" })).await;
        done(&format!("{path}/start-work"), json!({})).await;
        last = done(&format!("{path}/qualify"), json!({})).await;
        if convert {
            last = done(&format!("{path}/convert"), json!({ "opportunity": opportunity })).await;
        }
        ids.insert("lead".to_owned(), lead);
    }
    let user = json!({ "name": "Ada", "email": "ada@example.com", "roles": ["member"] });
    ids.insert("user".to_owned(), done("/v1/user/users", user).await.body["id"].clone());
    let wanted = last.header("x-position").to_owned();
    let seen = world.request(Method::POST, "/graphql").header("x-min-position", wanted);
    assert_eq!(Answer::of(seen.json(&json!({ "query": "{ __typename }" }))).await.status, StatusCode::OK);
    ids
}

#[tokio::test]
async fn every_query_of_the_book_is_answered() {
    let world = World::unlimited().await;
    let mut known = furnish(&world).await;
    let now = SystemClock.now();
    let time = |time: DateTime<Utc>| json!(time.to_rfc3339_opts(SecondsFormat::Micros, true));
    let times = [("from", now - TimeDelta::days(1)), ("to", now), ("day", now)];
    known.extend(times.map(|(name, at)| (name.to_owned(), time(at))));
    let variable = pattern(r"\$([a-z]+):");
    let mut asked = 0;
    for (name, text) in pages() {
        for query in blocks(&text, "graphql") {
            if query.starts_with("subscription") {
                is_told(&world, &query).await;
            } else {
                let query = query.replace("\"…\"", &known["user"].to_string());
                let variables: Map<String, Value> = variable
                    .captures_iter(&query)
                    .map(|found| (found[1].to_owned(), known[&found[1]].clone()))
                    .collect();
                let body = json!({ "query": query, "variables": variables });
                let what = format!("{name} is answered: {query}");
                let answered = eventually(&what, async || {
                    let answer = Answer::of(world.request(Method::POST, "/graphql").json(&body)).await;
                    assert_eq!((answer.status, &answer.body["errors"]), (StatusCode::OK, &Value::Null), "{answer:?}");
                    // The sample data has no dead letters and no change of access.
                    let rare = ["dead-letters.md", "people.md"].contains(&name.as_str());
                    (rare || tells(&answer.body["data"])).then_some(())
                });
                answered.await;
            }
            asked += 1;
        }
    }
    assert!(asked >= 9, "{asked}");
}

/// Whether every path through the namespaces of a response ends in something other than `null` and empty lists.
fn tells(data: &Value) -> bool {
    match data {
        Value::Null => false,
        Value::Array(all) => all.iter().any(tells),
        Value::Object(members) => match members.get("nodes").or(members.get("edges")) {
            Some(page) => tells(page),
            None => members.values().any(tells),
        },
        _ => true,
    }
}

/// A subscription receives events.
async fn is_told(world: &World, query: &str) {
    let mut socket = Socket::open(world).await;
    socket.init(&world.token(&[kernel::Role::Admin])).await;
    socket.say(json!({ "id": "1", "type": "subscribe", "payload": { "query": query } })).await;
    // The subscription starts some time after the request for it.
    let told = async {
        loop {
            world.lead("Ada").await;
            if let Ok(told) = tokio::time::timeout(Duration::from_millis(200), socket.hear()).await {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.expect("a change within 30 s");
    assert_eq!((&told["type"], &told["payload"]["errors"]), (&json!("next"), &Value::Null), "{told}");
    assert_eq!(told["payload"]["data"]["crm"]["leadChanged"]["change"], "captured", "{told}");
}
