//! Connections to Postgres that become silent, as when its machine or the network is gone.

use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Makes the connections of that moment silent: what is sent on them does not arrive, and nothing closes them. New ones work.
pub struct Silence(Arc<Mutex<watch::Sender<()>>>);

impl Silence {
    /// A way to the same database, whose connections can be made silent.
    pub async fn on_the_way_to(database: &eventstore::Database) -> (eventstore::Database, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let mut way = database.clone();
        "127.0.0.1".clone_into(&mut way.host);
        way.socket = None;
        way.port = listener.local_addr().expect("it is bound").port();
        let silence = Self(Arc::new(Mutex::new(watch::Sender::new(()))));
        let (next, server) = (Arc::clone(&silence.0), (database.host.clone(), database.port));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut silent = next.lock().expect("nobody panics with it").subscribe();
                let server = server.clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => return,
                        _ = silent.changed() => {}
                    }
                    // Who begins the silence waits for that. Both sockets stay open.
                    drop(silent);
                    std::future::pending::<()>().await;
                });
            }
        });
        (way, silence)
    }

    /// When this returns, nothing passes any more on the connections that were open: not even what somebody sends at once.
    pub async fn begin(&self) {
        let before = std::mem::replace(&mut *self.0.lock().expect("nobody panics with it"), watch::Sender::new(()));
        before.send_replace(());
        before.closed().await;
    }
}
