//! A rebuild while commands come in: how long it takes, and how long others wait for their rows meanwhile.

use std::time::{Duration, Instant};

use crate::infrastructure::Infrastructure;
use crate::lag::{self, Lag};
use crate::load::Latencies;
use crate::target::{Credentials, Inopsio, Tenant};

/// Commands a second.
const RATE: u32 = 1_000;

/// How long they come in: longer than the rebuild takes.
const LOAD: Duration = Duration::from_secs(20);

/// All read models have to be there before.
const PATIENCE: Duration = Duration::from_mins(10);

/// What was measured.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Seconds that the rebuild took, by the command line, from its start to its end.
    pub rebuild_s: f64,
    /// From sending a command to seeing its row, meanwhile and after.
    pub visible: Latencies,
}

/// Rebuilds the read model of leads while this tenant's commands come in. `inopsio`: on the database and the nats-server with the events.
pub async fn measure(inopsio: &Inopsio, infrastructure: &Infrastructure, tenant: &Tenant) -> anyhow::Result<Beside> {
    let credentials = Credentials { public_key: String::new(), tokens: vec![inopsio.token(tenant).await?] };
    let (target, _) = inopsio.serve(infrastructure, &credentials).await?;
    let begun = Instant::now();
    while target.behind().await? > 0 {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "read models are not there after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rebuild = inopsio.time(&["projection", "rebuild", "leads", "--service", "crm"]);
    let (Lag { visible, .. }, rebuild) = tokio::try_join!(lag::measure(&target, RATE, LOAD), rebuild)?;
    Ok(Beside { rebuild_s: rebuild.as_secs_f64(), visible })
}
