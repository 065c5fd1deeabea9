//! The `inopsio` binary.

mod dev;

use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    ports: dev::ports::Ports,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
 match run().await { Ok(()) => 0.into(), Err(e) => { eprintln!("inopsio: {e:#}"); 1.into() } }
}
async fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let home = dev::home::Home::at(".inopsio/try".as_ref())?;
    let mut environment = dev::environment::Environment::start(&home, cli.ports).await?;
    println!("up");
    tokio::select! {
        reason = environment.broken() => println!("{reason}"),
        _ = tokio::signal::ctrl_c() => {}
    }
    environment.stop().await
}
