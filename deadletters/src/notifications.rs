//! Receiving notifications about people's decisions.

use std::time::Duration;

use futures::StreamExt;
use kernel::Service;
use nats::Bus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The pause before a subscription that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Forwards notifications about decisions on the service's dead letters to `decided`, until `shutdown`. Consumers do not depend on it,
/// because they also poll while they have letters.
pub async fn forward_decisions(bus: Bus, service: Service, decided: watch::Sender<()>, shutdown: CancellationToken) {
    let forwarding = async {
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
    shutdown.run_until_cancelled(forwarding).await;
}
