//! Logs, traces and metrics. A program calls [`init`] once at start, and keeps the returned [`Guard`] as long as it runs.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use config::{Config, Format};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

static TRACES: AtomicBool = AtomicBool::new(false);

/// Whether traces are exported. If not, work that is only needed for them is skipped.
pub fn traces() -> bool {
    TRACES.load(Ordering::Relaxed)
}

/// Keeps the export of traces running. When it is dropped, the remaining spans are exported.
#[must_use = "traces end when this is dropped"]
pub struct Guard {
    tracer: Option<SdkTracerProvider>,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.filter` can't be parsed.
    #[error(
        "log.filter (INOPSIO_LOG): {0:?} is not allowed; allowed are filters such as info or info,gateway=debug: {1}"
    )]
    Filter(String, String),
    /// The exporter of traces can't be created.
    #[error("telemetry.otlp_endpoint (INOPSIO_OTLP_ENDPOINT): {0}")]
    Exporter(String),
    /// The program's logs were set up before.
    #[error("logs are set up already: {0}")]
    Taken(String),
}

/// Sets up logs on standard error (by default as text on a terminal and JSON otherwise), and the export of traces by OTLP if it is
/// configured. Must be called within a tokio runtime.
///
/// # Errors
/// When a setting is invalid, or logs were set up before.
pub fn init(config: &Config) -> Result<Guard, TelemetryError> {
    let json = match config.log.format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Text => false,
        Format::Json => true,
    };
    init_into(config, json, std::io::stderr)
}

/// Like [`init`], with logs that go to `writer`.
///
/// # Errors
/// As [`init`].
pub fn init_into<W>(config: &Config, json: bool, writer: W) -> Result<Guard, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.log.filter)
        .map_err(|error| TelemetryError::Filter(config.log.filter.clone(), error.to_string()))?;
    let lines = lines(json, writer);
    let tracer =
        config.telemetry.otlp_endpoint.as_deref().map(|url| tracer(url, config.telemetry.sample)).transpose()?;
    let spans = tracer.as_ref().map(|provider| {
        // The exporter's own client must not trace itself.
        let own = tracing_subscriber::filter::filter_fn(|metadata| {
            !["h2", "hyper", "tonic", "tower", "opentelemetry"].iter().any(|name| metadata.target().starts_with(name))
        });
        tracing_opentelemetry::layer().with_tracer(provider.tracer("inopsio")).with_filter(own)
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|error| TelemetryError::Taken(error.to_string()))?;
    TRACES.store(tracer.is_some(), Ordering::Relaxed);
    Ok(Guard { tracer })
}

/// A layer that writes each log event as one line: JSON, or text for a terminal.
pub fn lines<S, W>(json: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let format = tracing_subscriber::fmt::layer().with_writer(writer);
    if json {
        format.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        format.with_target(false).boxed()
    }
}

fn tracer(endpoint: &str, sample: f64) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample))))
        .with_resource(
            Resource::builder()
                .with_service_name("inopsio")
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build(),
        )
        .build())
}

impl Guard {
    /// Exports the remaining spans.
    pub fn flush(&self) {
        if let Some(tracer) = &self.tracer
            && let Err(error) = tracer.force_flush()
        {
            tracing::warn!(%error, "traces could not be sent");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(tracer) = self.tracer.take()
            && let Err(error) = tracer.shutdown()
        {
            tracing::warn!(%error, "the last traces could not be sent");
        }
        TRACES.store(false, Ordering::Relaxed);
    }
}

/// Upper bounds of histogram buckets for durations: half a millisecond to ten seconds.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds of histogram buckets for counts: one to ten thousand.
const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0];

/// The program's metrics in Prometheus format. They are recorded from the first call on.
pub fn metrics() -> Option<&'static PrometheusHandle> {
    use metrics_exporter_prometheus::Matcher;
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
                .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_events".into()), COUNTS))
                .and_then(PrometheusBuilder::install_recorder)
                .inspect_err(|error| tracing::error!(%error, "metrics can't be recorded"))
                .ok()
        })
        .as_ref()
}
