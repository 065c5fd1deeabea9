//! Feeds and WebSockets end when the token with which they were opened expires or is revoked.

use serde_json::json;
use sqlx::{ConnectOptions, Executor};

use crate::feed::Client;
use crate::issuers::Machine;
use crate::users::register;
use crate::websocket::Socket;
use crate::world::World;

/// A feed, and one WebSocket for each way to authenticate.
pub struct Open {
    feed: Client,
    sockets: [Socket; 2],
}

impl Open {
    pub async fn bearing(world: &World, token: &str) -> Self {
        let mut socket = Socket::open(world).await;
        socket.init(token).await;
        Self { feed: Client::bearing(world, token).await, sockets: [socket, Socket::bearing(world, token).await] }
    }

    pub async fn end_within_a_second(mut self) {
        self.feed.ends_within_a_second().await;
        for socket in &mut self.sockets {
            socket.closes_within_a_second(4403).await;
        }
    }

    /// They say what there is to say.
    pub async fn go_on(&mut self, world: &World) {
        let lead = world.lead("Ada").await;
        let event = self.feed.event().await.data.unwrap();
        assert_eq!(event["subject"], lead, "{event}");
        for socket in &mut self.sockets {
            socket.say(json!({ "type": "ping" })).await;
            assert_eq!(socket.hear().await, json!({ "type": "pong" }));
        }
    }
}

#[tokio::test]
async fn attack_59_open_feeds_and_websockets_of_a_revoked_key_end_and_those_of_others_go_on() {
    let world = World::start().await;
    let machine = Machine::register(&world, "edge", &["admin"]).await;
    let ((revoked, key), (_, other)) =
        (machine.api_key(&world, json!({})).await, machine.api_key(&world, json!({})).await);
    let (open, mut others) = (Open::bearing(&world, &key).await, Open::bearing(&world, &other).await);
    let done = world.post(&format!("/v1/auth/api-keys/{revoked}/revoke"), json!({})).await;
    assert_eq!(done.status.as_u16(), 200, "{done:?}");
    open.end_within_a_second().await;
    others.go_on(&world).await;
    // Other changes of the machine do not end the connections; its deactivation does.
    let path = format!("/v1/auth/machines/{}", machine.id);
    let renamed = world.post(&format!("{path}/secret"), json!({})).await;
    assert_eq!(renamed.status.as_u16(), 200, "{renamed:?}");
    others.go_on(&world).await;
    let done = world.post(&format!("{path}/deactivate"), json!({})).await;
    assert_eq!(done.status.as_u16(), 200, "{done:?}");
    others.end_within_a_second().await;
}

/// Removes what a log has after this position, as if a server had taken over that lacked it.
async fn lose_after(end: u64, database: &testbed::Database) {
    let lose = format!(
        "BEGIN;
         SELECT pg_advisory_xact_lock(7164702801);
         DELETE FROM log.events WHERE position > {end};
         DELETE FROM log.commands WHERE last_position > {end};
         UPDATE log.head SET position = {end};
         COMMIT;"
    );
    database.superuser().connect().await.unwrap().execute(lose.as_str()).await.unwrap();
}

#[tokio::test]
async fn attack_185_a_key_that_is_revoked_after_the_log_lost_its_end_opens_nothing_within_a_second() {
    let world = World::start().await;
    let machine = Machine::register(&world, "edge", &["admin"]).await;
    let (revoked, key) = machine.api_key(&world, json!({})).await;
    let end = world.head_of_all(&world.auth).await;
    let revoke = async |id: &str| {
        let done = world.post(&format!("/v1/auth/api-keys/{id}/revoke"), json!({})).await;
        assert_eq!(done.status.as_u16(), 200, "{done:?}");
    };
    // More events than the revocation has follow, are seen by this process, and are lost.
    for _ in 0..5 {
        machine.api_key(&world, json!({})).await;
    }
    let (other, others) = machine.api_key(&world, json!({})).await;
    let seen = Open::bearing(&world, &others).await;
    revoke(&other).await;
    seen.end_within_a_second().await;
    let open = Open::bearing(&world, &key).await;
    lose_after(end, &world.auth).await;
    revoke(&revoked).await;
    open.end_within_a_second().await;
}

#[tokio::test]
async fn attack_185_who_is_locked_after_the_log_lost_its_end_is_out_within_a_second() {
    let world = World::start().await;
    let admin = async |name: &str| {
        let registered = register(&world, name, &["admin"]).await;
        registered.body["id"].as_str().unwrap().to_owned()
    };
    let lock = async |user: &str| {
        let done = world.post(&format!("/v1/user/users/{user}/lock"), json!({ "reason": "left" })).await;
        assert_eq!(done.status.as_u16(), 200, "{done:?}");
    };
    let (_, eve) = (admin("owner").await, admin("eve").await);
    let end = world.head_of_all(world.of("user")).await;
    for nth in 0..5 {
        admin(&format!("lost{nth}")).await;
    }
    let other = admin("other").await;
    let seen = Open::bearing(&world, &world.token_of_user(&other)).await;
    lock(&other).await;
    seen.end_within_a_second().await;
    let open = Open::bearing(&world, &world.token_of_user(&eve)).await;
    lose_after(end, world.of("user")).await;
    lock(&eve).await;
    open.end_within_a_second().await;
}
