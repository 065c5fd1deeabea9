//! A connection whose requests are not answered moves to another server, not to the same one.

use nats::{Bus, Credentials, Settings};
use testbed::Nats;

#[tokio::test]
async fn a_connection_that_moves_on_comes_to_another_server_and_stays_there_for_a_while() {
    let servers = [Nats::start().await, Nats::start().await, Nats::start().await];
    let url = servers.each_ref().map(Nats::url).join(",");
    // Repeated, because a random choice could be another server by chance.
    for _ in 0..12 {
        let bus = Bus::connect(&Settings::new(&url, Credentials::None, "test")).await.unwrap();
        let before = bus.server_id();
        bus.move_on().await;
        let after = bus.server_id();
        assert_ne!(after, before);
        assert!(bus.connected());
        bus.move_on().await;
        assert_eq!(bus.server_id(), after, "it has just come");
    }
}

#[tokio::test]
async fn a_connection_that_has_one_server_alone_stays() {
    let server = Nats::start().await;
    let bus = Bus::connect(&Settings::new(server.url(), Credentials::None, "test")).await.unwrap();
    let before = bus.server_id();
    bus.move_on().await;
    assert_eq!(bus.server_id(), before);
    assert!(bus.connected());
}
