//! Connections to Postgres that become silent, as when its machine or the network is gone.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Makes the connections of that moment silent: what is sent on them does not arrive, and nothing closes them. New ones work.
pub struct Silence(watch::Sender<()>);

impl Silence {
    /// A way to the same database, whose connections can be made silent.
    pub async fn on_the_way_to(database: &eventstore::Database) -> (eventstore::Database, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let mut way = database.clone();
        "127.0.0.1".clone_into(&mut way.host);
        way.socket = None;
        way.port = listener.local_addr().expect("it is bound").port();
        let (silence, silent) = watch::channel(());
        let server = (database.host.clone(), database.port);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut silent, server) = (silent.clone(), server.clone());
                silent.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        Ok(()) = silent.changed() => std::future::pending::<()>().await,
                    }
                });
            }
        });
        (way, Self(silence))
    }

    /// From now on nothing passes on the connections that are open.
    pub fn begin(&self) {
        self.0.send_replace(());
    }
}
