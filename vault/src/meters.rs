//! Metrics: `inopsio_vault_…`.

use std::sync::Once;
use std::time::Duration;

use crate::Error;

static DESCRIBED: Once = Once::new();

fn describe() {
    DESCRIBED.call_once(|| {
        metrics::describe_counter!("inopsio_vault_requests_total", "Questions to Vault by operation and result");
        metrics::describe_histogram!(
            "inopsio_vault_request_seconds",
            metrics::Unit::Seconds,
            "How long Vault took to answer, by operation"
        );
        metrics::describe_gauge!(
            "inopsio_vault_token_seconds",
            metrics::Unit::Seconds,
            "How long the token for Vault is good still; absent: for ever, or not known"
        );
    });
}

/// Counts and times a request.
pub(crate) fn request<T>(operation: &'static str, took: Duration, response: &Result<T, Error>) {
    describe();
    let result = match response {
        Ok(_) => "ok",
        Err(error) if error.passes() => "unavailable",
        Err(_) => "refused",
    };
    metrics::counter!("inopsio_vault_requests_total", "operation" => operation, "result" => result).increment(1);
    metrics::histogram!("inopsio_vault_request_seconds", "operation" => operation).record(took);
}

/// Records for how long the token is still valid.
pub(crate) fn token_ttl(left: Duration) {
    describe();
    metrics::gauge!("inopsio_vault_token_seconds").set(left.as_secs_f64());
}
