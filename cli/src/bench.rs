//! `inopsio bench`: the benchmark, a program of its own because it brings the stock peer with it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The program, built beside this one.
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
    /// Becomes the benchmark.
    pub fn run(self) -> Result<()> {
        let program = std::env::current_exe().context("where this program is")?.with_file_name(PROGRAM);
        if !program.is_file() {
            bail!("{} is not there: build it beside this program, or run `make bench`", program.display());
        }
        let error = Command::new(&program).args(self.arguments).exec();
        Err(error).with_context(|| format!("can't run {}", program.display()))
    }
}
