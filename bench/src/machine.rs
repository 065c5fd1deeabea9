//! The machine on which the figures are measured.

use sqlx::ConnectOptions;

use crate::infrastructure::Infrastructure;
use crate::report::Results;

/// Adds the processor, its cores, and the versions of Postgres and nats-server to the results.
pub async fn describe(infrastructure: &Infrastructure, results: &mut Results) -> anyhow::Result<()> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| processor(&text));
    results.set("machine.processor", cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned()));
    results.set("machine.cores", std::thread::available_parallelism()?.get());
    let mut connection = infrastructure.admin().connect().await?;
    let postgres: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    results.set("machine.postgres", postgres);
    let nats = async_nats::connect(infrastructure.nats_url()).await?;
    results.set("machine.nats_server", nats.server_info().version);
    Ok(())
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_name_is_found() {
        assert_eq!(processor("processor : 0\nmodel name\t: Fast One @ 2GHz\n").as_deref(), Some("Fast One @ 2GHz"));
        assert_eq!(processor("processor : 0\n"), None);
    }
}
