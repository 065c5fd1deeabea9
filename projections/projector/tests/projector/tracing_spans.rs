//! The trace of a request includes the projection.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::layer::SubscriberExt;

use crate::lamps::Lamps;
use crate::road::Road;

#[derive(Clone, Debug, Default)]
struct Collected(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Collected {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

#[tokio::test]
async fn applying_an_event_belongs_to_the_trace_of_its_request() {
    let collected = Collected::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(collected.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    let context = |sampled| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{sampled}");
    road.append_traced("hall", Some(&context("01"))).await;
    road.append_traced("attic", Some(&context("00"))).await;
    road.append_traced("cellar", None).await;
    road.visible(&running.models).await;
    running.stop().await;

    let spans = collected.0.lock().unwrap();
    let ours: Vec<_> = spans.iter().filter(|span| span.name == "project").collect();
    assert_eq!(ours.len(), 1, "one event of three is traced");
    assert_eq!(ours[0].span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(ours[0].parent_span_id.to_string(), "b7ad6b7169203331");
}
