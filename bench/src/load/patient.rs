//! Clients that go on whatever happens: a server that is not there is asked again, what is refused is done without.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{Aim, Connection, on_own_thread};

/// Before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// What takes longer is lost.
const LOST: Duration = Duration::from_secs(5);

/// When commands were carried out, in order, until `stop`.
pub async fn patient(aim: Aim, clients: usize, stop: CancellationToken) -> anyhow::Result<Vec<Instant>> {
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
