//! Spans that continue a request's trace in the projection.

use kernel::RecordedEvent;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Opens a span in the trace of each event whose request is traced, at most `limit`, to be kept until the events are applied.
pub(crate) fn spans(projection: &'static str, events: &[&RecordedEvent], limit: usize) -> Vec<Span> {
    let traced = events.iter().filter_map(|event| Some((event, sampled(traceparent(event)?)?)));
    traced
        .take(limit)
        .map(|(event, context)| {
            let span = tracing::info_span!(
                parent: None,
                "project",
                projection,
                event_type = event.event_type,
                position = event.position.0,
                tenant = %event.tenant,
            );
            // Without a tracing layer there is no trace to belong to.
            let _ = span.set_parent(Context::new().with_remote_span_context(context));
            span
        })
        .collect()
}

fn traceparent(event: &RecordedEvent) -> Option<String> {
    // Searching for the key is cheaper than decoding the metadata of every event.
    const KEY: &[u8] = b"\"traceparent\"";
    event.metadata.windows(KEY.len()).any(|window| window == KEY).then(|| event.decode_metadata().ok())??.traceparent
}

/// The span context of a `traceparent` (W3C Trace Context, version 00). `None` when it is invalid or not sampled.
fn sampled(traceparent: String) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    if version != "00" || parts.next().is_some() || !flags.is_sampled() {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sampled_and_valid_context_opens_a_span() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(sampled(valid.to_owned()).map(|context| context.is_remote()), Some(true));
        for none in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-zz-b7ad6b7169203331-01",
            "",
        ] {
            assert!(sampled(none.to_owned()).is_none(), "{none}");
        }
    }
}
