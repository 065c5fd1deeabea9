//! Subscriptions over graphql-transport-ws.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::world::{Answer, PROPAGATION, World};

pub struct Socket(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Socket {
    pub async fn open(world: &World) -> Self {
        let mut request = format!("{}/graphql", world.url.replace("http", "ws")).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        Self(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }

    /// A connection with a small receive buffer, for a client that does not read.
    async fn of_little_room(world: &World) -> Self {
        let mut request = format!("{}/graphql", world.url.replace("http", "ws")).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let address = world.url.trim_start_matches("http://").parse().unwrap();
        let stream = MaybeTlsStream::Plain(socket.connect(address).await.unwrap());
        Self(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }

    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message that is not a ping; if the connection was closed, the close code.
    pub async fn hear(&mut self) -> Value {
        loop {
            let message =
                tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("a message within 20 s");
            match message.expect("an open connection").unwrap() {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] != "ping" {
                        return message;
                    }
                }
                Message::Close(frame) => return json!({ "closed": u16::from(frame.unwrap().code) }),
                _ => {}
            }
        }
    }

    /// Waits until the connection is closed with this code, within [`PROPAGATION`].
    pub async fn closes_within_a_second(&mut self, code: u16) {
        let closed = async { while self.hear().await != json!({ "closed": code }) {} };
        tokio::time::timeout(PROPAGATION, closed).await.expect("the connection is open still");
    }

    /// A connection that authenticates by a header of the upgrade request, as programs can.
    pub async fn bearing(world: &World, token: &str) -> Self {
        let mut request = format!("{}/graphql", world.url.replace("http", "ws")).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut socket = Self(tokio_tungstenite::connect_async(request).await.unwrap().0);
        socket.say(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
        socket
    }

    pub async fn init(&mut self, token: &str) {
        self.say(json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } })).await;
        assert_eq!(self.hear().await, json!({ "type": "connection_ack" }));
    }
}

#[tokio::test]
async fn a_subscriber_sees_its_own_tenants_leads_change() {
    let world = World::start().await;
    let subscribe = json!({
        "id": "1", "type": "subscribe",
        "payload": { "query": "subscription { crm { leadChanged { change lead { name } } } }" },
    });
    let mut ours = Socket::open(&world).await;
    ours.init(&world.token(&[kernel::Role::Viewer])).await;
    ours.say(subscribe.clone()).await;
    let mut theirs = Socket::open(&world).await;
    theirs.init(&world.stranger()).await;
    theirs.say(subscribe).await;
    // The subscription starts some time after the request for it, so leads are captured until one is seen.
    let seen = async {
        loop {
            world.lead("Ada").await;
            if let Ok(message) = tokio::time::timeout(Duration::from_millis(200), ours.hear()).await {
                return message;
            }
        }
    };
    let message = tokio::time::timeout(Duration::from_secs(30), seen).await.expect("a change within 30 s");
    assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!("1")), "{message}");
    assert_eq!(
        message["payload"]["data"]["crm"]["leadChanged"],
        json!({ "change": "captured", "lead": { "name": "Ada" } }),
        "{message}"
    );
    // The other tenant's connection works, and receives nothing but the answer to its ping.
    theirs.say(json!({ "type": "ping" })).await;
    assert_eq!(theirs.hear().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn a_change_is_shown_as_far_as_its_subscriber_may_see_it_with_the_errors_of_the_rest() {
    let world = World::start().await;
    let mut socket = Socket::open(&world).await;
    socket.init(&world.token(&[kernel::Role::Viewer])).await;
    let query = "subscription { user { userChanged { change user { name access { roles } } } } }";
    socket.say(json!({ "id": "1", "type": "subscribe", "payload": { "query": query } })).await;
    // The subscription starts some time after the request for it, so users are registered until one is seen.
    let seen = async {
        let mut number = 0;
        loop {
            number += 1;
            let user = json!({ "name": "Ada", "email": format!("ada{number}@example.com"), "roles": ["viewer"] });
            assert_eq!(world.post("/v1/user/users", user).await.status, reqwest::StatusCode::CREATED);
            if let Ok(message) = tokio::time::timeout(Duration::from_millis(200), socket.hear()).await {
                return message;
            }
        }
    };
    let message = tokio::time::timeout(Duration::from_secs(30), seen).await.expect("a change within 30 s");
    let (data, errors) = (&message["payload"]["data"], &message["payload"]["errors"]);
    let change = &data["user"]["userChanged"];
    assert!(change["change"].is_string(), "{message}");
    assert_eq!(change["user"], json!({ "name": "Ada", "access": null }), "{message}");
    assert_eq!(errors.as_array().map(Vec::len), Some(1), "{message}");
    assert_eq!(errors[0]["path"], json!(["user", "userChanged", "user", "access"]), "{message}");
    let extensions = &errors[0]["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["permission"]),
        (&json!("permission_missing"), &json!("user:access:read")),
        "{message}"
    );
}

#[tokio::test]
async fn queries_work_too_each_for_itself() {
    let world = World::start().await;
    let mut socket = Socket::open(&world).await;
    socket.init(&world.token(&[kernel::Role::Viewer])).await;
    for id in ["a", "b"] {
        socket.say(json!({ "id": id, "type": "subscribe", "payload": { "query": "{ __typename }" } })).await;
        assert_eq!(
            socket.hear().await,
            json!({ "id": id, "type": "next", "payload": { "data": { "__typename": "Query" } } })
        );
        assert_eq!(socket.hear().await, json!({ "id": id, "type": "complete" }));
    }
    let bomb = format!("{{ crm {{ {}__typename{} }} }}", "x { ".repeat(30), " }".repeat(30));
    socket.say(json!({ "id": "c", "type": "subscribe", "payload": { "query": bomb } })).await;
    let refused = socket.hear().await;
    assert_eq!(
        (&refused["type"], &refused["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("query_too_deep"))
    );
    // Of the second field nothing would ever come; of `__typename` neither.
    for (id, query) in [
        ("d", "subscription { crm { leadChanged { change } } user { userChanged { change } } }"),
        ("e", "subscription { ...A } fragment A on Subscription { __typename }"),
    ] {
        socket.say(json!({ "id": id, "type": "subscribe", "payload": { "query": query } })).await;
        let refused = socket.hear().await;
        assert_eq!(
            (&refused["type"], &refused["payload"][0]["extensions"]["code"]),
            (&json!("error"), &json!("query_invalid")),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn each_operation_counts_against_the_limits_as_a_request_does() {
    for limited in ["token", "tenant"] {
        let world = World::start_with(|config| {
            let limits = &mut config.rate_limits;
            let (rate, burst) = match limited {
                "token" => (&mut limits.token_per_second, &mut limits.token_burst),
                _ => (&mut limits.tenant_per_second, &mut limits.tenant_burst),
            };
            (*rate, *burst) = (1, 3);
        })
        .await;
        let token = world.token(&[kernel::Role::Viewer]);
        let mut socket = Socket::open(&world).await;
        socket.init(&token).await;
        let ids: Vec<_> = (0..10).map(|n| n.to_string()).collect();
        for id in &ids {
            socket.say(json!({ "id": id, "type": "subscribe", "payload": { "query": "{ __typename }" } })).await;
        }
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        while done.len() + refused.len() < ids.len() {
            let message = socket.hear().await;
            match message["type"].as_str().unwrap() {
                "complete" => done.push(message),
                "error" => refused.push(message),
                _ => {}
            }
        }
        assert!((3..10).contains(&done.len()), "{done:?}");
        for message in &refused {
            let extensions = &message["payload"][0]["extensions"];
            assert_eq!(
                *extensions,
                json!({ "code": "rate_limited", "status": 429, "limited": limited, "retry_after": 1 })
            );
        }
        // A refused operation ends, but not the connection; HTTP requests share the rate limit.
        socket.say(json!({ "type": "ping" })).await;
        assert_eq!(socket.hear().await, json!({ "type": "pong" }));
        let asked = (0..3).map(|_| {
            let request = world.anonymous(Method::POST, "/graphql").bearer_auth(&token);
            Answer::of(request.json(&json!({ "query": "{ __typename }" })))
        });
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().any(|answer| answer.code() == "rate_limited"), "{answers:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_carried_out_has_a_code() {
    let world = World::start().await;
    let mut socket = Socket::open(&world).await;
    socket.init(&world.token(&[kernel::Role::Viewer])).await;
    let page = "query Page($first: Int) { crm { leads(first: $first) { totalCount } } }";
    for (payload, code) in [
        (json!({ "query": "{" }), "query_malformed"),
        (json!({ "query": "{ nonsense }" }), "query_invalid"),
        (json!({ "query": page, "variables": { "first": "2" } }), "query_invalid"),
        (json!({ "query": "mutation { nonsense }" }), "operation_unsupported"),
    ] {
        socket.say(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
        let refused = socket.hear().await;
        assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("1")), "{refused}");
        assert_eq!(refused["payload"][0]["extensions"], json!({ "code": code, "status": 400 }));
    }
    socket
        .say(json!({ "id": "1", "type": "subscribe", "payload": { "query": "{ __typename }", "variabels": {} } }))
        .await;
    assert_eq!(socket.hear().await, json!({ "closed": 4400 }));
}

#[tokio::test]
async fn a_connection_that_breaks_the_protocol_is_closed_with_the_protocols_code() {
    let world = World::start_with(|config| config.graphql.subscriptions = 1).await;
    let init = json!({
        "type": "connection_init",
        "payload": { "Authorization": format!("Bearer {}", world.token(&[kernel::Role::Viewer])) },
    });
    let follow = |id: &str| {
        let query = "subscription { crm { leadChanged { leadId } } }";
        json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
    };
    let cases: Vec<(Vec<Value>, u16)> = vec![
        (vec![follow("1")], 4401),
        (vec![json!({ "type": "connection_init" })], 4403),
        (vec![json!({ "type": "connection_init", "payload": { "authorization": "Bearer nonsense" } })], 4403),
        (vec![json!({ "type": "shout" })], 4400),
        (vec![init.clone(), init.clone()], 4429),
        (vec![init.clone(), follow("1"), follow("1")], 4409),
        (vec![init.clone(), follow("1"), follow("2")], 4430),
    ];
    for (messages, code) in cases {
        let mut socket = Socket::open(&world).await;
        for message in &messages {
            socket.say(message.clone()).await;
        }
        let mut heard = socket.hear().await;
        while heard["type"] == "connection_ack" {
            heard = socket.hear().await;
        }
        assert_eq!(heard, json!({ "closed": code }), "{messages:?}");
    }
}

#[tokio::test]
async fn a_token_in_the_first_message_is_of_the_tenant_that_the_upgrade_is_meant_for() {
    let world = World::start().await;
    let payload = json!({ "Authorization": format!("Bearer {}", world.token(&[kernel::Role::Viewer])) });
    let other = testbed::tenant().to_string();
    for (tenant, answer) in [
        (world.tenant.to_string(), json!({ "type": "connection_ack" })),
        (other, json!({ "closed": 4403 })),
        ("acme".to_owned(), json!({ "closed": 4403 })),
    ] {
        let mut request = format!("{}/graphql", world.url.replace("http", "ws")).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        request.headers_mut().insert("x-tenant-id", tenant.parse().unwrap());
        let mut socket = Socket(tokio_tungstenite::connect_async(request).await.unwrap().0);
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.hear().await, answer, "{tenant}");
    }
}

#[tokio::test]
async fn attack_240_a_browser_with_a_token_of_another_tenant_than_it_names_gets_no_connection() {
    let world = World::start().await;
    let token = format!("Bearer {}", world.token(&[kernel::Role::Viewer]));
    let (ours, other) = (world.tenant.to_string(), testbed::tenant().to_string());
    let meant_for = |tenant: Value| json!({ "Authorization": token, "X-Tenant-Id": tenant });
    let before = world.head().await;
    for (payload, answer) in [
        (meant_for(json!(ours)), json!({ "type": "connection_ack" })),
        (json!({ "authorization": token, "x-tenant-id": ours }), json!({ "type": "connection_ack" })),
        (meant_for(json!(other)), json!({ "closed": 4403 })),
        (meant_for(json!("acme")), json!({ "closed": 4403 })),
        (meant_for(json!(null)), json!({ "closed": 4403 })),
        (json!({ "Authorization": token, "X-Tenant-Id": ours, "x-tenant-id": other }), json!({ "closed": 4403 })),
        (json!({ "Authorization": 1 }), json!({ "closed": 4403 })),
    ] {
        let mut socket = Socket::open(&world).await;
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.hear().await, answer, "{payload}");
    }
    // The token may be in the header of the upgrade request, and the tenant in the first message.
    let mut request = format!("{}/graphql", world.url.replace("http", "ws")).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    request.headers_mut().insert("authorization", token.parse().unwrap());
    let mut socket = Socket(tokio_tungstenite::connect_async(request).await.unwrap().0);
    socket.say(json!({ "type": "connection_init", "payload": { "X-Tenant-Id": other } })).await;
    assert_eq!(socket.hear().await, json!({ "closed": 4403 }));
    assert_eq!(world.head().await, before, "something was written");
}

/// Subscribes as `id` and waits until a change of a lead arrives. It captures leads until then, because a subscription starts some time
/// after the request for it.
async fn first_change(world: &World, socket: &mut Socket, id: &str, query: &str) -> Value {
    socket.say(json!({ "id": id, "type": "subscribe", "payload": { "query": query } })).await;
    let seen = async {
        loop {
            world.lead("Ada").await;
            while let Ok(message) = tokio::time::timeout(Duration::from_millis(200), socket.hear()).await {
                if message["id"] == id {
                    return message["payload"]["data"]["crm"]["leadChanged"].clone();
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("a change within 30 s")
}

#[tokio::test]
async fn subscriptions_hold_no_connection_while_nothing_happens() {
    let world = World::start().await;
    let mut socket = Socket::open(&world).await;
    socket.init(&world.token(&[kernel::Role::Viewer])).await;
    // One more than there are database connections for queries.
    let ids: Vec<_> = (0..17).map(|n| n.to_string()).collect();
    for id in &ids {
        let change =
            first_change(&world, &mut socket, id, "subscription { crm { leadChanged { lead { name } } } }").await;
        assert_eq!(change["lead"]["name"], "Ada", "{change}");
    }
    let last = world.lead("Grace").await;
    let mut left: std::collections::HashSet<_> = ids.iter().cloned().collect();
    while !left.is_empty() {
        let message = socket.hear().await;
        let lead = &message["payload"]["data"]["crm"]["leadChanged"]["lead"];
        assert!(lead["name"].is_string(), "{message}");
        if lead["name"] == "Grace" {
            left.remove(message["id"].as_str().unwrap());
        }
    }
    let query = json!({ "query": format!("{{ crm {{ lead(id: \"{last}\") {{ name }} }} }}") });
    let answer = world.post("/graphql", query).await;
    assert_eq!(answer.body, json!({ "data": { "crm": { "lead": { "name": "Grace" } } } }), "{answer:?}");
}

#[tokio::test]
async fn each_change_of_a_lead_shows_it_as_it_is_then() {
    let world = World::start().await;
    let mut socket = Socket::open(&world).await;
    socket.init(&world.token(&[kernel::Role::Viewer])).await;
    let query = "subscription { crm { leadChanged { leadId lead { owner version } } } }";
    let seen = first_change(&world, &mut socket, "1", query).await;
    let id = seen["leadId"].as_str().unwrap();
    for (version, owner) in [(2, "ben"), (3, "cyd"), (4, "dan")] {
        let assigned = world.post(&format!("/v1/crm/leads/{id}/assign"), json!({ "owner": owner })).await;
        assert_eq!(assigned.body["version"], version, "{assigned:?}");
        let change = loop {
            let message = socket.hear().await;
            let change = message["payload"]["data"]["crm"]["leadChanged"].clone();
            if change["leadId"] == id && change["lead"]["version"] != 1 {
                break change;
            }
        };
        assert_eq!(change["lead"], json!({ "owner": owner, "version": version }));
    }
}

#[tokio::test]
async fn a_message_that_is_longer_than_a_body_may_be_ends_the_connection() {
    let world = World::start().await;
    let mut socket = Socket::open(&world).await;
    let ping = json!({ "type": "ping", "payload": { "x": "y".repeat(2 << 20) } });
    // The server may close before all of it is sent.
    drop(socket.0.send(Message::text(ping.to_string())).await);
    let next = tokio::time::timeout(Duration::from_secs(20), socket.0.next()).await.expect("an end within 20 s");
    assert!(matches!(next, None | Some(Err(_) | Ok(Message::Close(_)))), "{next:?}");
}

/// Asks for more than twice what the kernels at both ends buffer (4 MiB and a little), and reads nothing: answers as long as their queries.
/// Parsing a query keeps the only thread of a test busy; more of them would delay the ping of another connection.
async fn ask_for_more_than_is_buffered(socket: &mut Socket) {
    let question = (0..20).map(|n| format!("{}{n}: __typename ", "a".repeat(40_000))).collect::<Vec<_>>().concat();
    for id in 0..12 {
        let ask =
            json!({ "id": id.to_string(), "type": "subscribe", "payload": { "query": format!("{{ {question} }}") } });
        let sent =
            tokio::time::timeout(Duration::from_millis(200), socket.0.send(Message::text(ask.to_string()))).await;
        if sent.is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn attack_225_who_reads_nothing_until_they_are_locked_gets_nothing_of_what_happened_after_that() {
    let world = World::start().await;
    let user = json!({ "name": "Eve", "email": "eve@example.com", "roles": ["viewer"] });
    let registered = world.post("/v1/user/users", user).await;
    let eve = registered.body["id"].as_str().unwrap_or_else(|| panic!("{registered:?}")).to_owned();
    let token = world.token_of_user(&eve);
    let query = "subscription { crm { leadChanged { leadId } } }";
    let mut others = Socket::open(&world).await;
    others.init(&world.token(&[kernel::Role::Viewer])).await;
    first_change(&world, &mut others, "all", query).await;
    let mut slow = Socket::of_little_room(&world).await;
    slow.init(&token).await;
    first_change(&world, &mut slow, "all", query).await;
    ask_for_more_than_is_buffered(&mut slow).await;
    let locked = world.post(&format!("/v1/user/users/{eve}/lock"), json!({ "reason": "phishing" })).await;
    assert_eq!(locked.status, reqwest::StatusCode::OK, "{locked:?}");
    testbed::eventually("she is locked out", async || {
        let asked = world.anonymous(Method::POST, "/graphql").bearer_auth(&token);
        let answer = Answer::of(asked.json(&json!({ "query": "{ __typename }" }))).await;
        (answer.status == reqwest::StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    let late = world.lead("Late").await;
    // When another subscriber gets it, it was on its way to her, too.
    while others.hear().await["payload"]["data"]["crm"]["leadChanged"]["leadId"] != late {}
    loop {
        match tokio::time::timeout(Duration::from_secs(20), slow.0.next()).await.expect("the connection is open still")
        {
            Some(Ok(Message::Text(heard))) => assert!(!heard.contains(&late), "{heard:.100}"),
            Some(Ok(Message::Close(frame))) => break assert_eq!(u16::from(frame.unwrap().code), 4403),
            Some(Ok(_)) => {}
            // What she sent and nobody read any more: then the connection is reset, and there is no close code.
            Some(Err(_)) | None => break,
        }
    }
}

// With a thread for the other connection while one reads the long questions, which takes seconds where nothing is optimized.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_left_after_a_while_and_one_that_only_listens_is_not() {
    let world = World::start_with(|config| (config.http.timeout_seconds, config.http.idle_seconds) = (1, 4)).await;
    let token = world.token(&[kernel::Role::Viewer]);
    let mut listener = Socket::open(&world).await;
    listener.init(&token).await;
    let mut slow = Socket::of_little_room(&world).await;
    slow.init(&token).await;
    ask_for_more_than_is_buffered(&mut slow).await;
    let closed = async {
        loop {
            let ping = Message::text(json!({ "type": "ping" }).to_string());
            if let Ok(Err(_)) = tokio::time::timeout(Duration::from_millis(200), slow.0.send(ping)).await {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.expect("the server closes the connection within 30 s");
    // The other connection received all its pings.
    let mut asked = 0;
    while asked < 5 {
        let message = tokio::time::timeout(Duration::from_secs(20), listener.0.next()).await.expect("a ping");
        let Message::Text(text) = message.expect("an open connection").unwrap() else { continue };
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "type": "ping" }));
        asked += 1;
    }
    listener.say(json!({ "type": "ping" })).await;
    assert_eq!(listener.hear().await, json!({ "type": "pong" }));
}
