//! Many lines on their way out: to standard output or a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};

/// Bytes gathered before they are written.
const BUFFER: usize = 256 * 1024;

/// Where the lines go.
pub struct Sink {
    to: Box<dyn Write + Send>,
    name: String,
    /// What was gathered and not written yet.
    pub buffer: Vec<u8>,
}

impl Sink {
    /// A file; standard output unless one is named.
    pub fn open(file: Option<&Path>) -> Result<Self> {
        let (to, name): (Box<dyn Write + Send>, _) = match file {
            Some(path) => {
                let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
                (Box::new(file), path.display().to_string())
            }
            None => (Box::new(io::stdout()), "standard output".to_owned()),
        };
        Ok(Self { to, name, buffer: Vec::with_capacity(2 * BUFFER) })
    }

    /// Writes what was gathered, if that is much.
    pub fn write_if_full(&mut self) -> Result<()> {
        if self.buffer.len() >= BUFFER { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        self.to.write_all(&self.buffer).with_context(|| format!("can't write to {}", self.name))?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest.
    pub fn finish(mut self) -> Result<()> {
        self.write()?;
        self.to.flush().with_context(|| format!("can't write to {}", self.name))
    }
}
