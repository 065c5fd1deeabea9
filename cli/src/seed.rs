//! `inopsio seed`: something to look at.

use anyhow::Result;

use crate::context::Place;
use crate::demo::Demo;
use crate::output::Format;

/// Fills a tenant with a small, realistic data set through the REST API
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio seed
  inopsio seed --tenant acme --leads 500

It talks to the server that is configured or that `inopsio dev` runs; if none runs, it starts one for itself.
`inopsio demo` loads the same kind of data in full and answers questions about it.")]
pub struct Seed {
    /// The tenant to fill; made if it is not there
    #[arg(long, default_value = "demo")]
    tenant: String,
    /// How many leads; accounts, contacts and opportunities in proportion
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    leads: u32,
}

impl Seed {
    /// Loads it.
    pub async fn run(self, place: &Place, format: Format) -> Result<()> {
        Demo::sized(self.tenant, self.leads).seed(place, format).await
    }
}
