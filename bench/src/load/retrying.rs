//! Clients that retry: they reconnect to a server that is down, and continue after refused commands.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{Aim, Connection, on_own_thread};

/// Pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(5);

/// Maximum time for a response.
const LOST: Duration = Duration::from_secs(5);

/// Sends commands until `stop`. Returns the times at which commands were answered with success, in order.
pub async fn retrying(aim: Aim, clients: usize, stop: CancellationToken) -> anyhow::Result<Vec<Instant>> {
    on_own_thread(async move {
        let all = (0..clients).map(|number| tokio::spawn(client(aim.clone(), number, stop.clone())));
        let mut done = Vec::new();
        for of_one in join_all(all).await {
            done.extend(of_one?);
        }
        done.sort_unstable();
        Ok(done)
    })
    .await
}

async fn client(aim: Aim, number: usize, stop: CancellationToken) -> Vec<Instant> {
    let (mut journey, mut done) = (aim.journey(number), Vec::new());
    while !stop.is_cancelled() {
        if let Ok(mut connection) = Connection::open(aim.addr).await {
            while !stop.is_cancelled()
                && let Ok(Ok(answer)) = tokio::time::timeout(LOST, connection.send(journey.next())).await
            {
                match journey.answered(&answer) {
                    Ok(()) => done.push(Instant::now()),
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    done
}
