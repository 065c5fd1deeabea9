//! How runners hear that there is something to do: those of this process directly, the others over the bus.

use futures::stream::{BoxStream, StreamExt};
use kernel::Service;
use nats::Bus;
use tokio::sync::Notify;

/// What there is to hear.
#[derive(Default)]
pub(crate) struct Wakes {
    /// Something may be due.
    pub(crate) due: Notify,
    /// Something that runs may be to stop.
    pub(crate) stop: Notify,
}

impl Wakes {
    pub(crate) async fn due(&self, bus: Option<&Bus>, service: Service) {
        self.due.notify_one();
        if let Some(bus) = bus {
            bus.wake_jobs(service).await;
        }
    }

    pub(crate) async fn stop(&self, bus: Option<&Bus>, service: Service) {
        self.stop.notify_waiters();
        if let Some(bus) = bus {
            bus.wake_cancelled_jobs(service).await;
        }
    }
}

/// Word from other processes. None when the bus does not answer: then runners look by themselves.
pub(crate) async fn heard(bus: Option<&Bus>, service: Service) -> [BoxStream<'static, ()>; 2] {
    let Some(bus) = bus else { return [futures::stream::pending().boxed(), futures::stream::pending().boxed()] };
    let due = match bus.job_wakes(service).await {
        Ok(wakes) => wakes.chain(futures::stream::pending()).boxed(),
        Err(_) => futures::stream::pending().boxed(),
    };
    let stop = match bus.cancelled_job_wakes(service).await {
        Ok(wakes) => wakes.chain(futures::stream::pending()).boxed(),
        Err(_) => futures::stream::pending().boxed(),
    };
    [due, stop]
}
