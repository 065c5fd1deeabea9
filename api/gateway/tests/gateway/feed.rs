//! A tenant's event feed (server-sent events), as its clients see it.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kernel::Role;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use testbed::eventually;

use crate::world::{Answer, PROPAGATION, World};

/// A block of a feed: an event or a heartbeat.
#[derive(Debug, Default)]
pub struct Block {
    id: String,
    event: String,
    pub data: Option<Value>,
    comment: bool,
}

pub struct Client {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
    blocks: VecDeque<Block>,
}

impl Client {
    async fn open(world: &World, query: &str, last: Option<&str>) -> Self {
        // A feed of one service, whose event ids contain only positions of it.
        let more = query.strip_prefix('?').map(|more| format!("&{more}")).unwrap_or_default();
        let mut request = world.request(Method::GET, &format!("/v1/events?service=crm{more}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        Self::of(request).await
    }

    /// Opens the feed of CRM with this token.
    pub async fn bearing(world: &World, token: &str) -> Self {
        Self::of(world.anonymous(Method::GET, "/v1/events?service=crm").bearer_auth(token)).await
    }

    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { bytes: response.bytes_stream().boxed(), text: String::new(), blocks: VecDeque::new() }
    }

    /// Reads until the feed ends, within [`PROPAGATION`].
    pub async fn ends_within_a_second(&mut self) {
        let ended = async { while self.block().await.is_some() {} };
        tokio::time::timeout(PROPAGATION, ended).await.expect("the feed goes on");
    }

    /// The next block; `None` when the feed ended.
    async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(block) = self.blocks.pop_front() {
                return Some(block);
            }
            let bytes =
                tokio::time::timeout(Duration::from_secs(20), self.bytes.next()).await.expect("the feed is silent");
            self.text.push_str(std::str::from_utf8(&bytes?.ok()?).unwrap());
            while let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let block = std::mem::replace(&mut self.text, rest);
                let mut read = Block::default();
                for line in block.trim_end().lines() {
                    match line.split_once(": ").unwrap() {
                        ("id", id) => id.clone_into(&mut read.id),
                        ("event", event) => event.clone_into(&mut read.event),
                        ("data", data) => read.data = Some(serde_json::from_str(data).unwrap()),
                        ("", _) => read.comment = true,
                        ("retry", _) => {}
                        other => unreachable!("{other:?}"),
                    }
                }
                self.blocks.push_back(read);
            }
        }
    }

    /// The next event, past heartbeats.
    pub async fn event(&mut self) -> Block {
        loop {
            let block = self.block().await.expect("the feed goes on");
            if block.data.is_some() {
                return block;
            }
        }
    }
}

#[tokio::test]
async fn a_feed_goes_from_the_log_to_what_happens_without_gap_or_double() {
    let world = World::start().await;
    for n in 0..30 {
        world.lead(&format!("early {n}")).await;
    }
    let mut client = Client::open(&world, "?after=0&types=crm.lead.captured", None).await;
    let begin = client.block().await.unwrap();
    assert_eq!((begin.id.as_str(), begin.data.is_none()), ("crm=0", true));
    // Events are appended while the feed switches from the log to the bus.
    let writing = async {
        for n in 0..60 {
            world.lead(&format!("late {n}")).await;
        }
    };
    let reading = async {
        let mut names = Vec::new();
        let mut last = 0;
        while names.len() < 90 {
            let event = client.event().await;
            let data = event.data.unwrap();
            let position: u64 = data["position"].as_str().unwrap().parse().unwrap();
            assert!(position > last, "{position} after {last}");
            last = position;
            assert_eq!((event.id, event.event.as_str()), (format!("crm={position}"), "crm.lead.captured"));
            assert_eq!((&data["specversion"], &data["type"]), (&"1.0".into(), &"crm.lead.captured".into()));
            assert_eq!(data["tenant"], world.tenant.to_string());
            names.push(data["data"]["details"]["name"].as_str().unwrap().to_owned());
        }
        names
    };
    let ((), names) = tokio::join!(writing, reading);
    let expected: Vec<_> = (0..30).map(|n| format!("early {n}")).chain((0..60).map(|n| format!("late {n}"))).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_client_that_comes_again_goes_on_where_it_was_and_sees_only_its_tenant() {
    let world = World::start().await;
    world.lead("one").await;
    let mut client = Client::open(&world, "?after=crm=0", None).await;
    let first = client.event().await;
    drop(client);
    let stranger = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(world.stranger());
    assert_eq!(stranger.json(&serde_json::json!({ "name": "not ours" })).send().await.unwrap().status(), 201);
    world.lead("two").await;
    // `Last-Event-ID` wins over the URL, because a reconnecting browser keeps the URL.
    let mut client = Client::open(&world, "?after=crm=0", Some(&first.id)).await;
    let Block { id, data, .. } = client.event().await;
    let second = data.unwrap();
    assert_eq!(second["data"]["details"]["name"], "two");
    assert_eq!(id, "crm=3");
    // The letters of an id may be in any case.
    let about = second["subject"].as_str().unwrap().to_uppercase();
    let mut about = Client::open(&world, &format!("?after=0&id={about}"), None).await;
    assert_eq!(about.event().await.data.unwrap()["data"]["details"]["name"], "two");
    // Without a position, the feed starts with new events.
    let mut now = Client::open(&world, "?aggregate=crm.lead", None).await;
    assert_eq!(now.block().await.unwrap().id, "crm=3");
    world.lead("three").await;
    assert_eq!(now.event().await.data.unwrap()["data"]["details"]["name"], "three");
    assert_eq!(client.event().await.data.unwrap()["data"]["details"]["name"], "three");
}

#[tokio::test]
async fn a_position_of_another_cell_is_refused_instead_of_losing_or_repeating_events() {
    let world = World::start_with(|config| config.directory.cell = Some("west".to_owned())).await;
    world.lead("one").await;
    let first = Client::open(&world, "?after=0", None).await.event().await;
    assert_eq!(first.id, "crm=1@west");
    world.lead("two").await;
    // People and older clients name no cell.
    for last in [first.id.as_str(), "crm=1"] {
        let second = Client::open(&world, "", Some(last)).await.event().await;
        assert_eq!(second.id, "crm=2@west", "after {last}");
        assert_eq!(second.data.unwrap()["data"]["details"]["name"], "two");
    }
    let ask = |query: &str| world.request(Method::GET, &format!("/v1/events?service=crm{query}"));
    world
        .refuses(vec![
            (ask("").header("Last-Event-ID", "crm=1@east"), StatusCode::BAD_REQUEST, "cursor_elsewhere"),
            (ask("&after=crm=1@east"), StatusCode::BAD_REQUEST, "cursor_elsewhere"),
        ])
        .await;
}

#[tokio::test]
async fn heartbeats_say_how_far_a_silent_feed_has_come_also_while_the_bus_is_away() {
    let mut world = World::start_with(|config| config.events.heartbeat_seconds = 1).await;
    let mut client = Client::open(&world, "?types=crm.account.*", None).await;
    assert_eq!(client.block().await.unwrap().id, "crm=0");
    world.lead("nothing to this feed").await;
    while client.block().await.unwrap().id != "crm=1" {}
    world.nats.kill();
    world.lead("nor this").await;
    assert_eq!(world.post("/v1/crm/accounts", serde_json::json!({ "name": "Analytical Engines" })).await.status, 201);
    assert_eq!(client.event().await.event, "crm.account.created");
    // Events that are appended after the feed was opened without the bus are delivered, too.
    let mut other = Client::open(&world, "?after=0&types=crm.account.*", None).await;
    assert_eq!(other.event().await.id, "crm=3");
    assert_eq!(world.post("/v1/crm/accounts", serde_json::json!({ "name": "Difference Engines" })).await.status, 201);
    assert_eq!(other.event().await.id, "crm=4");
}

#[tokio::test]
async fn feeds_are_bounded_by_tenant_and_end_with_the_server() {
    let mut world = World::start_with(|config| {
        config.events.feeds_per_tenant = 2;
        // A disconnected client is noticed only when something is sent.
        config.events.heartbeat_seconds = 1;
    })
    .await;
    let mut one = Client::open(&world, "", None).await;
    let two = Client::open(&world, "", None).await;
    let refused = world.get("/v1/events").await;
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, "too_many_feeds"));
    // The limit of feeds is per tenant.
    let stranger = world.anonymous(Method::GET, "/v1/events").bearer_auth(world.stranger()).send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::OK);
    drop((two, stranger));
    eventually("a feed that was left makes room", async || {
        let response = world.request(Method::GET, "/v1/events").send().await.unwrap();
        (response.status() == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(one.block().await.unwrap().id, "crm=0");
    let server = world.server.take().unwrap();
    tokio::time::timeout(Duration::from_secs(10), server.shutdown()).await.expect("feeds do not hold the server up");
    assert!(one.block().await.is_none_or(|block| block.data.is_none()));
}

#[tokio::test]
async fn what_no_feed_can_be_made_of_is_refused() {
    let world = World::start().await;
    let ask = |query: &str| world.request(Method::GET, &format!("/v1/events{query}"));
    let member = world.anonymous(Method::GET, "/v1/events").bearer_auth(world.token(&[Role::Member]));
    let member_of_crm =
        world.anonymous(Method::GET, "/v1/events?service=crm").bearer_auth(world.token(&[Role::Viewer]));
    world
        .refuses(vec![
            (world.anonymous(Method::GET, "/v1/events"), StatusCode::UNAUTHORIZED, "token_missing"),
            (member, StatusCode::FORBIDDEN, "permission_missing"),
            (member_of_crm, StatusCode::FORBIDDEN, "permission_missing"),
            (ask("?service=erp"), StatusCode::BAD_REQUEST, "parameter_invalid"),
            (ask("?after=erp=1"), StatusCode::BAD_REQUEST, "cursor_invalid"),
            (ask("?after=soon"), StatusCode::BAD_REQUEST, "cursor_invalid"),
            (ask("").header("Last-Event-ID", "-1"), StatusCode::BAD_REQUEST, "cursor_invalid"),
            (ask("?service=crm&after=7"), StatusCode::BAD_REQUEST, "position_ahead"),
            (ask("?types=crm.leads.*"), StatusCode::BAD_REQUEST, "event_type_unknown"),
            (ask("?aggregate=crm.leads"), StatusCode::BAD_REQUEST, "parameter_invalid"),
            (ask("?id=x"), StatusCode::BAD_REQUEST, "parameter_invalid"),
            (
                ask("?aggregate=crm.lead&id=%7B0197a8a0-0000-7000-8000-000000000001%7D"),
                StatusCode::BAD_REQUEST,
                "parameter_invalid",
            ),
            (ask("?type=crm.lead.captured"), StatusCode::BAD_REQUEST, "parameter_unknown"),
        ])
        .await;
    let auditor = world.anonymous(Method::GET, "/v1/events").bearer_auth(world.token(&[Role::Auditor]));
    assert_eq!(auditor.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_catalogue_lists_every_type_with_a_schema_and_an_example_that_can_be_read() {
    let world = World::start().await;
    let list = world.get("/v1/events/types").await;
    let types = list.body["types"].as_array().unwrap();
    let all: Vec<_> = gateway::domains().iter().flat_map(|domain| (domain.event_types)()).collect();
    assert_eq!(types.len(), all.len());
    let aggregates: Vec<_> = gateway::domains().into_iter().flat_map(|domain| domain.aggregates).collect();
    for event in all {
        let found = world.get(&format!("/v1/events/types/{}/{}", event.name, event.version)).await;
        assert_eq!((found.status, &found.body["schema"]), (StatusCode::OK, event.schema.as_value()), "{}", event.name);
        assert!(found.body["description"].as_str().is_some_and(|text| !text.is_empty()), "{found:?}");
        let aggregate = aggregates.iter().find(|aggregate| aggregate.name == event.aggregate_type).unwrap();
        let example = found.body["example"].to_string();
        let read = (aggregate.decode)(event.name, event.version, example.as_bytes());
        assert!(read.is_ok(), "{}: {read:?} in {example}", event.name);
    }
    let unknown = world.get("/v1/events/types/crm.lead.qualified/99").await;
    assert_eq!((unknown.status, &unknown.body["versions"]), (StatusCode::NOT_FOUND, &serde_json::json!([1])));
    let anonymous = Answer::of(world.anonymous(Method::GET, "/v1/events/types")).await;
    assert_eq!(anonymous.code(), "token_missing");
}
