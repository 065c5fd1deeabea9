//! Merges several sources into one stream of server-sent events.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use kernel::{RecordedEvent, Service, TypePatterns};
use nats::cloudevent;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::cursor::Cursor;
use super::running::RunningFeed;
use super::source::{Source, Step};

/// A filter on a tenant's events.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only events of these types.
    pub types: TypePatterns,
    /// Only events of aggregates of this type.
    pub aggregate: Option<String>,
    /// Only events of the aggregate with this id.
    pub id: Option<String>,
}

impl Filter {
    fn wants(&self, event: &RecordedEvent) -> bool {
        self.types.wants(&event.event_type)
            && self.aggregate.as_ref().is_none_or(|wanted| *wanted == event.aggregate_type)
            && self.id.as_ref().is_none_or(|wanted| *wanted == event.aggregate_id)
    }
}

/// The steps of one source, with its service.
type Steps = BoxStream<'static, Result<(Service, Step), eventstore::Error>>;

/// The state of an open feed.
struct Feed {
    steps: stream::SelectAll<Steps>,
    heartbeat: tokio::time::Interval,
    cursor: Cursor,
    filter: Filter,
    running: RunningFeed,
    begun: bool,
}

/// The bytes of a feed. The stream ends if a log does not answer; the client then reconnects, and resumes with the last id.
pub fn bytes(
    sources: Vec<Source>,
    cursor: Cursor,
    filter: Filter,
    running: RunningFeed,
    heartbeat: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let mut heartbeat = interval_at(Instant::now() + heartbeat, heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let steps = stream::select_all(sources.into_iter().map(steps));
    let feed = Feed { steps, heartbeat, cursor, filter, running, begun: false };
    stream::unfold(feed, |mut feed| async move { feed.next().await.map(|bytes| (Ok(bytes), feed)) })
}

fn steps(source: Source) -> Steps {
    stream::unfold(Some(source), |source| async {
        let mut source = source?;
        let service = source.service();
        match source.next().await {
            Ok(step) => Some((Ok((service, step)), Some(source))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            // The id is sent before the first event, so that a client that is disconnected before it can resume without a loss.
            return Some(format!("retry: 2000\nid: {}\n\n", self.cursor).into());
        }
        loop {
            let step = tokio::select! {
                biased;
                step = self.steps.next() => step?,
                _ = self.heartbeat.tick() => return Some(self.beat()),
            };
            match step {
                Ok((service, Step::Reached(position))) => {
                    self.cursor.advance(service, position);
                    self.running.at(service, position);
                }
                Ok((service, Step::Event(event))) => {
                    self.cursor.advance(service, event.position);
                    self.running.at(service, event.position);
                    if self.filter.wants(&event) {
                        return self.event(service, &event);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a feed ends, because the log does not answer");
                    return None;
                }
            }
        }
    }

    /// A heartbeat. An id without data dispatches no event in the client, but is the last id with which it resumes.
    fn beat(&self) -> Bytes {
        format!(": heartbeat\nid: {}\n\n", self.cursor).into()
    }

    fn event(&mut self, service: Service, event: &RecordedEvent) -> Option<Bytes> {
        match cloudevent::structured(service, event) {
            Ok(data) => {
                let mut block = format!("id: {}\nevent: {}\ndata: ", self.cursor, event.event_type).into_bytes();
                block.extend_from_slice(&data);
                block.extend_from_slice(b"\n\n");
                Some(block.into())
            }
            Err(reason) => {
                tracing::error!(position = %event.position, reason, "a feed ends at an event that is no JSON");
                None
            }
        }
    }
}
