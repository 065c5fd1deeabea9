//! `inopsio seed`: loads demo data.

use anyhow::Result;

use chrono::NaiveDate;

use crate::context::Place;
use crate::demo::Demo;
use crate::output::Format;

/// Fills a tenant with a realistic data set of one of three sizes, through the REST API
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio seed
  inopsio seed --size large --tenant big
  inopsio seed --tenant acme --leads 500 --until 2026-06-30

It talks to the server that is configured or that `inopsio dev` runs; if none runs, it starts one for itself.
The same size and end give the same records on any day and any machine; only the ids, which the server creates, differ.
`inopsio demo` loads the same kind of data in full and answers questions about it.")]
pub struct Seed {
    /// The tenant to fill; created if it does not exist
    #[arg(long, default_value = "demo")]
    tenant: String,
    /// Size of the data set
    #[arg(long, value_enum, default_value_t)]
    size: Size,
    /// Number of leads, instead of a size; accounts, contacts and opportunities in proportion
    #[arg(long, conflicts_with = "size", value_parser = crate::number::of(50..=100_000_u32))]
    leads: Option<u32>,
    /// The history ends at the start of this day
    #[arg(long, value_name = "DATE", default_value = END, value_parser = kernel::read_day)]
    until: NaiveDate,
}

/// The default end of the history. Fixed, so that the data does not depend on the current day.
const END: &str = "2026-01-01";

/// The size of the data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Size {
    /// 100 leads: to look at
    #[default]
    Small,
    /// 2,000 leads: to work with
    Medium,
    /// 20,000 leads: to measure with
    Large,
}

impl Size {
    const fn leads(self) -> u32 {
        match self {
            Self::Small => 100,
            Self::Medium => 2_000,
            Self::Large => 20_000,
        }
    }
}

impl Seed {
    /// Runs the command.
    pub async fn run(self, place: &Place, format: Format) -> Result<()> {
        let leads = self.leads.unwrap_or(self.size.leads());
        Demo::sized(self.tenant, leads, self.until).seed(place, format).await
    }
}
