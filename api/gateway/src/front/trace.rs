//! The trace span, log line and metrics of a request.

use std::sync::Arc;
use std::time::Duration;

use face::Identity;
use metrics::SharedString;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use poem::Request;
use poem::http::{HeaderMap, Method, StatusCode};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::telemetry;

/// The span of a request. It continues the trace in the client's `traceparent`, if there is one.
pub fn span(request: &Request, id: Uuid, identity: &Identity) -> Span {
    let caller = if let Identity::Known { caller, .. } = identity { Some(caller) } else { None };
    // Known fields are set at creation: each field that is recorded later makes the JSON log format all of the span's fields again.
    let span = tracing::info_span!(
        "request",
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = %request.method(),
        url.path = loggable(request.uri().path()),
        http.route = tracing::field::Empty,
        http.response.status_code = tracing::field::Empty,
        request = %id,
        tenant = caller.map(|caller| tracing::field::display(caller.tenant())),
        subject = caller.map(kernel::Caller::subject),
    );
    if telemetry::traces()
        && let Some(parent) = request.headers().get("traceparent").and_then(|value| parse(value.to_str().ok()?))
    {
        let parent = opentelemetry::Context::new().with_remote_span_context(parent);
        drop(span.set_parent(parent));
    }
    span
}

/// A path as it is logged: without the id of an uploaded picture, because whoever knows the id can see the picture.
fn loggable(path: &str) -> &str {
    const PICTURES: &str = "/pictures/";
    let picture = path.find(PICTURES).filter(|_| path.starts_with("/t/"));
    picture.map_or(path, |at| &path[..at + PICTURES.len()])
}

/// The trace context for the events that the request causes: that of our span if we trace, the client's otherwise.
pub fn traceparent(span: &Span, headers: &HeaderMap) -> Option<String> {
    if telemetry::traces() {
        let context = span.context();
        let context = context.span().span_context().clone();
        if context.is_valid() {
            return Some(format!(
                "00-{}-{}-{:02x}",
                context.trace_id(),
                context.span_id(),
                context.trace_flags().to_u8()
            ));
        }
    }
    let given = headers.get("traceparent")?.to_str().ok()?;
    parse(given).map(|_| given.to_owned())
}

/// Parses a W3C `traceparent`.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = version.len() == 2
        && version != "ff"
        && trace.len() == 32
        && span.len() == 16
        && flags.len() == 2
        && (version != "00" || parts.next().is_none())
        && text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !well_formed {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

/// Records the result of the request in its span, in metrics and in the log.
pub fn finish(span: &Span, method: &Method, route: Option<&Arc<str>>, status: StatusCode, took: Duration) {
    // Unknown paths share one label, so that clients can't create time series.
    let label = route.map_or(SharedString::const_str("unknown"), |route| Arc::clone(route).into());
    let route: &str = label.as_ref();
    if telemetry::traces() && !span.is_disabled() {
        // `record` can't change the name of a span, so it is set on the OpenTelemetry span.
        span.context().span().update_name(format!("{method} {route}"));
        span.record("http.route", route);
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
    metrics::histogram!("inopsio_http_request_seconds", "method" => method_label(method), "route" => label.clone(),
        "status" => status_label(status))
    .record(took.as_secs_f64());
    let _entered = span.enter();
    if status.is_server_error() {
        tracing::warn!(route, status = status.as_u16(), took_ms = took.as_secs_f64() * 1e3, "answered");
    } else {
        tracing::debug!(route, status = status.as_u16(), took_ms = took.as_secs_f64() * 1e3, "answered");
    }
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "HEAD" => "HEAD",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

fn status_label(status: StatusCode) -> SharedString {
    match status.as_u16() {
        200 => "200".into(),
        201 => "201".into(),
        _ => SharedString::from(status.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_not_told_where_a_picture_is() {
        for (path, shown) in [
            (
                "/t/0197a8a0-0000-7000-8000-000000000001/pictures/q83vEjRW",
                "/t/0197a8a0-0000-7000-8000-000000000001/pictures/",
            ),
            ("/t/acme/pictures/", "/t/acme/pictures/"),
            ("/t/acme/logo", "/t/acme/logo"),
            ("/v1/pictures/x", "/v1/pictures/x"),
        ] {
            assert_eq!(loggable(path), shown);
        }
    }

    #[test]
    fn only_a_well_formed_traceparent_is_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse(good).is_some_and(|context| context.is_sampled() && context.is_remote()));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
