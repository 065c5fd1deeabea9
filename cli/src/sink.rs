//! Many lines on their way out: to standard output or a file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Bytes gathered before they are written.
const BUFFER: usize = 256 * 1024;

/// Where the lines go.
pub struct Sink {
    to: Box<dyn Write + Send>,
    name: String,
    /// What was gathered and not written yet.
    pub buffer: Vec<u8>,
    unfinished: Option<Unfinished>,
}

/// A file that has another name until it is whole, and is gone if it never is: whatever stood under its name stays until then.
struct Unfinished {
    part: PathBuf,
    whole: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Once it has its name there is nothing to remove; what can't be removed now is found by its name.
        _ = fs::remove_file(&self.part);
    }
}

impl Sink {
    /// A file; standard output unless one is named.
    pub fn open(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file else { return Ok(Self::new(io::stdout(), "standard output".to_owned(), None)) };
        let (written, unfinished) = if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            // A device or a pipe is written to, not replaced.
            (path.to_owned(), None)
        } else {
            let mut part = OsString::from(path);
            part.push(".part");
            let part = PathBuf::from(part);
            (part.clone(), Some(Unfinished { part, whole: path.to_owned() }))
        };
        let file = File::create(&written).with_context(|| format!("can't write {}", path.display()))?;
        Ok(Self::new(file, path.display().to_string(), unfinished))
    }

    fn new(to: impl Write + Send + 'static, name: String, unfinished: Option<Unfinished>) -> Self {
        Self { to: Box::new(to), name, buffer: Vec::with_capacity(2 * BUFFER), unfinished }
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
    pub fn flush(&mut self) -> Result<()> {
        self.write()?;
        self.to.flush().with_context(|| format!("can't write to {}", self.name))
    }

    /// Writes the rest, and gives a file its name: it is whole.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let Some(Unfinished { part, whole }) = &self.unfinished else { return Ok(()) };
        fs::rename(part, whole).with_context(|| format!("can't write {}", self.name))
    }
}
