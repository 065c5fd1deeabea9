//! Telling others, across processes, that there is something to do: a service's relay, its webhooks.
//!
//! Nothing depends on the arrival of these: whoever waits for them also looks by itself.

use futures::{Stream, StreamExt};
use kernel::{Service, TenantId};

use crate::{Bus, Error, subject};

impl Bus {
    /// Tells the relay of a service, wherever it runs, that events were appended.
    pub async fn wake(&self, service: Service) {
        self.tell(subject::wake(service)).await;
    }

    /// The wake-ups of a service's relay, from when this returns.
    pub async fn wakes(&self, service: Service) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.hear(subject::wake(service)).await
    }

    /// Tells whoever delivers a service's webhooks that one was changed.
    pub async fn wake_webhooks(&self, service: Service) {
        self.tell(subject::wake_webhooks(service)).await;
    }

    /// The wake-ups of a service's webhooks, from when this returns.
    pub async fn webhook_wakes(
        &self,
        service: Service,
    ) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.hear(subject::wake_webhooks(service)).await
    }

    /// Tells whoever runs a service's jobs that one may be due.
    pub async fn wake_jobs(&self, service: Service) {
        self.tell(subject::wake_jobs(service)).await;
    }

    /// The wake-ups of a service's jobs, from when this returns.
    pub async fn job_wakes(&self, service: Service) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.hear(subject::wake_jobs(service)).await
    }

    /// Tells whoever runs a service's jobs that one that runs may be to stop.
    pub async fn wake_cancelled_jobs(&self, service: Service) {
        self.tell(subject::wake_cancelled_jobs(service)).await;
    }

    /// The same, from when this returns.
    pub async fn cancelled_job_wakes(
        &self,
        service: Service,
    ) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.hear(subject::wake_cancelled_jobs(service)).await
    }

    /// Tells the consumers of a service's events that somebody decided about a dead letter.
    pub async fn wake_dead_letters(&self, service: Service) {
        self.tell(subject::wake_dead_letters(service)).await;
    }

    /// The same, from when this returns.
    pub async fn dead_letter_wakes(
        &self,
        service: Service,
    ) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.hear(subject::wake_dead_letters(service)).await
    }

    /// Ends when the relay publishes the next event of a tenant after this returned: for who reads the log then. It may end
    /// without one, and is deaf while the connection is lost.
    pub async fn next_event(
        &self,
        service: Service,
        tenant: TenantId,
    ) -> Result<impl Future<Output = ()> + Send + use<>, Error> {
        let subject = subject::tenant_events(service, tenant);
        let mut subscriber = self.client.subscribe(subject).await.map_err(unavailable)?;
        // One will do; the server sends no more.
        subscriber.unsubscribe_after(1).await.map_err(unavailable)?;
        Ok(async move {
            subscriber.next().await;
        })
    }

    async fn tell(&self, subject: String) {
        // Sent into a lost connection, wakes would pile up and mean nothing when they arrive.
        if !self.connected() {
            return;
        }
        if let Err(error) = self.client.publish(subject.clone(), bytes::Bytes::new()).await {
            tracing::debug!(subject, %error, "a wake-up was not sent");
        }
    }

    async fn hear(&self, subject: String) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        let subscriber = self.client.subscribe(subject).await.map_err(unavailable)?;
        Ok(subscriber.map(|_| ()))
    }
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(error.to_string())
}
