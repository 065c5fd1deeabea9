//! Telling a service's relay, across processes, that there is something to publish.

use futures::{Stream, StreamExt};
use kernel::Service;

use crate::{Bus, Error, subject};

impl Bus {
    /// Tells the relay of a service, wherever it runs, that events were appended. Nothing depends on its arrival: the relay
    /// also looks by itself.
    pub async fn wake(&self, service: Service) {
        // Sent into a lost connection, wakes would pile up and mean nothing when they arrive.
        if !self.connected() {
            return;
        }
        if let Err(error) = self.client.publish(subject::wake(service), bytes::Bytes::new()).await {
            tracing::debug!(%service, %error, "a wake-up was not sent");
        }
    }

    /// The wake-ups of a service, from when this returns.
    pub async fn wakes(&self, service: Service) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        let subscriber = self
            .client
            .subscribe(subject::wake(service))
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(subscriber.map(|_| ()))
    }
}
