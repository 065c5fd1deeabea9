//! A rebuild under load: its duration, and the lag from command to visible row meanwhile.

use std::time::{Duration, Instant};

use crate::infrastructure::Infrastructure;
use crate::lag::{self, Lag};
use crate::load::Latencies;
use crate::target::{Credentials, Inopsio, Tenant};

/// Commands per second.
const RATE: u32 = 1_000;

/// Duration of the load: longer than the rebuild takes.
const LOAD: Duration = Duration::from_secs(20);

/// Maximum time for the read models to catch up before the measurement.
const PATIENCE: Duration = Duration::from_mins(10);

/// The measured figures.
#[derive(Clone, Debug)]
pub struct RebuildUnderLoad {
    /// Duration of the rebuild by the command line in seconds, including its start and end.
    pub rebuild_s: f64,
    /// Time from sending a command to seeing its row, during the rebuild and after it.
    pub visible: Latencies,
}

/// Rebuilds the read model of leads while commands of this tenant come in. `inopsio` has to use the database and nats-server with the
/// events.
pub async fn measure(
    inopsio: &Inopsio,
    infrastructure: &Infrastructure,
    tenant: &Tenant,
) -> anyhow::Result<RebuildUnderLoad> {
    let credentials = Credentials { public_key: String::new(), tokens: vec![inopsio.token(tenant).await?] };
    let (target, _) = inopsio.serve(infrastructure, &credentials).await?;
    let begun = Instant::now();
    while target.behind().await? > 0 {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "read models are not there after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rebuild = inopsio.time(&["projection", "rebuild", "leads", "--service", "crm"]);
    let (Lag { visible, .. }, rebuild) = tokio::try_join!(lag::measure(&target, RATE, LOAD), rebuild)?;
    Ok(RebuildUnderLoad { rebuild_s: rebuild.as_secs_f64(), visible })
}
