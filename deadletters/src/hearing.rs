//! Hearing of what people decide.

use std::time::Duration;

use futures::StreamExt;
use kernel::Service;
use nats::Bus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long to wait for a bus that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Passes on, until `shutdown`, that somebody decided about a dead letter of the service. Nothing depends on it: consumers that have
/// letters also look by themselves.
pub async fn hear(bus: Bus, service: Service, decided: watch::Sender<()>, shutdown: CancellationToken) {
    let hearing = async {
        loop {
            match bus.dead_letter_wakes(service).await {
                Ok(mut wakes) => {
                    while wakes.next().await.is_some() {
                        decided.send_replace(());
                    }
                }
                Err(error) => tracing::debug!(%service, %error, "decisions about dead letters are not heard of"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    shutdown.run_until_cancelled(hearing).await;
}
