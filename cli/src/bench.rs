//! `inopsio bench`: runs the benchmark, a separate program because it links the stock peer that it compares with.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The benchmark's program, in the same folder as this one.
const PROGRAM: &str = "inopsio-bench";

/// Benchmarks this program and a stock peer in one run, on private servers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  make bench\n  inopsio bench --quick\n  inopsio bench -- --help",
    trailing_var_arg = true
)]
pub struct Bench {
    /// Arguments of the benchmark
    #[arg(allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Bench {
    /// Replaces this process by the benchmark (`exec`).
    pub fn run(self) -> Result<()> {
        let program = std::env::current_exe().context("where this program is")?.with_file_name(PROGRAM);
        if !program.is_file() {
            bail!("{} is not there: build it beside this program, or run `make bench`", program.display());
        }
        let error = Command::new(&program).args(self.arguments).exec();
        Err(error).with_context(|| format!("can't run {}", program.display()))
    }
}
