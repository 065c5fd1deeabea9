//! The configuration that we write is one that nats-server takes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nats::server::Server;
use nats::{Bus, Credentials, Error, Settings, StreamSettings};

use crate::events::CRM;

/// A server with our configuration; ends with the test.
struct Running {
    child: Child,
    dir: PathBuf,
    listen: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn start(user: &str, password: &str) -> Running {
    let listen = SocketAddr::from(([127, 0, 0, 1], testbed::free_port()));
    let dir = std::env::temp_dir().join(format!("inopsio nats \"{}\"", listen.port()));
    std::fs::create_dir_all(&dir).unwrap();
    let server = Server::local(listen, dir.join("store"), user, password);
    let config = dir.join("nats.conf");
    std::fs::write(&config, server.render()).unwrap();
    let child = Command::new(testbed::nats_server()).arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
    Running { child, dir, listen }
}

#[tokio::test]
async fn our_configuration_has_jetstream_and_lets_in_who_knows_the_password() {
    let password = r#"a "long" \ $PASSWORD {"#;
    let server = start("inopsio", password);
    let url = format!("nats://{}", server.listen);
    let with = |password: &str| {
        let user = "inopsio".to_owned();
        Settings::new(&url, Credentials::Password { user, password: password.to_owned() }, "test")
    };
    let bus = testbed::eventually("the server listens", async || Bus::connect(&with(password)).await.ok()).await;
    bus.ensure_stream(CRM, StreamSettings::default()).await.unwrap();

    for stranger in [with("a guess"), Settings::new(&url, Credentials::None, "test")] {
        let refused = Bus::connect(&stranger).await.err();
        assert!(matches!(refused, Some(Error::Unavailable(_))), "{refused:?}");
    }
    assert!(server.dir.join("store/jetstream").exists(), "JetStream keeps its files elsewhere");
}

#[test]
fn a_password_does_not_show_in_debug_output() {
    let settings =
        Settings::new("nats://x", Credentials::Password { user: "u".into(), password: "hunter2".into() }, "n");
    assert!(!format!("{settings:?}").contains("hunter2"));
}
