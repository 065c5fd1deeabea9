//! `inopsio schemas`: generates the contracts, which are checked in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::output;

/// Generates the contracts: JSON Schemas of events, AsyncAPI, OpenAPI, GraphQL
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio schemas
  inopsio schemas --check

Stored events have to stay readable: a change after which they could not be read is refused.")]
pub struct Schemas {
    /// Writes nothing; fails if a file is not current
    #[arg(long)]
    check: bool,
    /// The folder to write to
    #[arg(long, default_value = "schemas")]
    folder: PathBuf,
}

impl Schemas {
    /// Runs the command: writes or checks the files.
    pub fn run(self) -> Result<()> {
        let contracts = gateway::contracts();
        let expected: BTreeSet<PathBuf> = contracts.iter().map(|(path, _)| self.folder.join(path)).collect();
        let stale = contracts.iter().filter(|(path, content)| {
            fs::read_to_string(self.folder.join(path)).map_or(true, |there| there != *content)
        });
        let left_over: Vec<_> = files(&self.folder)?.into_iter().filter(|path| !expected.contains(path)).collect();
        let unreadable = self.unreadable()?;
        if self.check {
            let wrong: Vec<_> = stale
                .map(|(path, _)| format!("  not current: {}", self.folder.join(path).display()))
                .chain(left_over.iter().map(|path| format!("  no longer generated: {}", path.display())))
                .collect();
            if !wrong.is_empty() {
                let mend = unreadable
                    .unwrap_or_else(|| "Run `make schemas`, review the difference as code, and commit it".to_owned());
                bail!("the contracts changed:\n{}\n{mend}", wrong.join("\n"));
            }
            return Ok(());
        }
        if let Some(unreadable) = unreadable {
            bail!("nothing is written. {unreadable}");
        }
        for (path, content) in stale {
            write(&self.folder.join(path), content)?;
        }
        for path in left_over {
            fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
            output::print(format!("removed {}", path.display()))?;
        }
        Ok(())
    }

    /// Explains a change after which stored events could not be read; `None` if there is none.
    fn unreadable(&self) -> Result<Option<String>> {
        let unreadable = gateway::contracts::unreadable(&self.folder)
            .with_context(|| format!("can't read the schemas of events in {}", self.folder.display()))?;
        let mend = format!(
            "Stored events would not be readable any more:\n  {}\n\
             Give the changed event the next version, and keep the old one as a `retired` form that becomes the new one \
             (see kernel::events!). Only if no event of this version was ever stored anywhere, delete its file and run \
             `make schemas`",
            unreadable.join("\n  ")
        );
        Ok((!unreadable.is_empty()).then_some(mend))
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    fs::write(path, content).with_context(|| format!("can't write {}", path.display()))?;
    output::print(format!("wrote {}", path.display()))
}

/// All files below a folder; none if it does not exist.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("can't read {}", folder.display())),
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}
