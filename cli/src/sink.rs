//! Buffered output of many lines to standard output or to a file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Size in bytes from which the buffer is written.
const BUFFER: usize = 256 * 1024;

/// A buffered output.
pub struct Sink {
    // The first field: dropped (and the file removed) before `to` releases the file's lock.
    unfinished: Option<Unfinished>,
    to: Box<dyn Write + Send>,
    name: String,
    /// Bytes that are not written yet.
    pub buffer: Vec<u8>,
}

/// A file that is written under the temporary name `part` and renamed to `whole` at its end. On drop, `part` is removed; an existing `whole`
/// stays as it is until the rename.
struct Unfinished {
    part: PathBuf,
    whole: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Ignore errors: a file that remains can be recognised by its name.
        _ = fs::remove_file(&self.part);
    }
}

/// Opens and locks the temporary file. What a killed run left in it is discarded; if another run is writing to it, this fails.
fn lock_part(part: &Path) -> Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(part)?;
        match file.try_lock() {
            // On file systems without locks, concurrent runs are not detected.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => bail!("another run is writing it now"),
        }
        // The previous holder may have renamed the file between open and lock. Then it is finished and must not be truncated: open again.
        let opened = file.metadata()?.ino();
        if fs::metadata(part).is_ok_and(|there| there.ino() == opened) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

impl Sink {
    /// Opens a file, or standard output if none is given.
    pub fn open(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file else { return Ok(Self::new(io::stdout(), "standard output".to_owned(), None)) };
        let unwritable = || format!("can't write {}", path.display());
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            // Devices and pipes are written directly: they can't be replaced by a rename.
            let file = File::create(path).with_context(unwritable)?;
            return Ok(Self::new(file, path.display().to_string(), None));
        }
        let mut part = OsString::from(path);
        part.push(".part");
        let part = PathBuf::from(part);
        let file = lock_part(&part).with_context(unwritable)?;
        Ok(Self::new(file, path.display().to_string(), Some(Unfinished { part, whole: path.to_owned() })))
    }

    fn new(to: impl Write + Send + 'static, name: String, unfinished: Option<Unfinished>) -> Self {
        Self { to: Box::new(to), name, buffer: Vec::with_capacity(2 * BUFFER), unfinished }
    }

    /// Writes the buffer if it is full.
    pub fn write_if_full(&mut self) -> Result<()> {
        if self.buffer.len() >= BUFFER { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        self.to.write_all(&self.buffer).with_context(|| format!("can't write to {}", self.name))?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest of the buffer and flushes.
    pub fn flush(&mut self) -> Result<()> {
        self.write()?;
        self.to.flush().with_context(|| format!("can't write to {}", self.name))
    }

    /// Writes the rest of the buffer and renames the file to its final name.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let Some(unfinished) = self.unfinished.take() else { return Ok(()) };
        fs::rename(&unfinished.part, &unfinished.whole).with_context(|| format!("can't write {}", self.name))?;
        // Don't remove the temporary file on drop: from now on, another run may have created it.
        std::mem::forget(unfinished);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_by_one_run_at_a_time_and_stands_there_whole_or_as_it_was() {
        let path = std::env::temp_dir().join(format!("inopsio-sink-{}", std::process::id()));
        let part = path.with_extension("part");
        let written = || fs::read_to_string(&path).unwrap();
        let mut first = Sink::open(Some(&path)).unwrap();
        first.buffer.extend_from_slice(b"first\n");
        let refused = format!("{:#}", Sink::open(Some(&path)).err().unwrap());
        assert!(refused.contains("another run"), "{refused}");
        first.finish().unwrap();
        assert_eq!(written(), "first\n");

        fs::write(&part, "what a run that was killed left behind").unwrap();
        let mut second = Sink::open(Some(&path)).unwrap();
        second.buffer.extend_from_slice(b"second\n");
        second.finish().unwrap();
        assert_eq!(written(), "second\n");

        drop(Sink::open(Some(&path)).unwrap());
        assert_eq!((written().as_str(), part.exists()), ("second\n", false));
        fs::remove_file(&path).unwrap();
    }
}
