//! Buffered output of many lines to standard output or to a file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Size in bytes from which the buffer is written.
const BUFFER: usize = 256 * 1024;

/// A buffered output.
pub struct Sink {
    // The first field: dropped (and the file removed) before `to` releases the file's lock, which its own handle shares.
    unfinished: Option<Unfinished>,
    to: Box<dyn Write + Send>,
    name: String,
    /// Bytes that are not written yet.
    pub buffer: Vec<u8>,
}

/// Only the owner may read and write: what is written may be decrypted personal data.
const OWN: u32 = 0o600;

/// A file that is written under the temporary name `part` and renamed to `whole` at its end. On drop, `part` is removed unless it was
/// renamed; an existing `whole` stays as it is until the rename.
struct Unfinished {
    part: PathBuf,
    whole: PathBuf,
    file: File,
    renamed: bool,
}

impl Unfinished {
    /// Syncs the file, and puts it into its place. A file that it replaces passes its permissions on; a new one is its owner's only.
    fn finish(&mut self) -> io::Result<()> {
        if let Ok(replaced) = fs::metadata(&self.whole) {
            // Ignore errors: some file systems have no permissions.
            _ = self.file.set_permissions(Permissions::from_mode(replaced.permissions().mode() & 0o777));
        }
        // A rename may reach the disk before the content does; after a power failure the file would be empty.
        self.file.sync_all()?;
        fs::rename(&self.part, &self.whole)?;
        // From now on, another run may have created the temporary file.
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.renamed {
            // Ignore errors: a file that remains can be recognised by its name.
            _ = fs::remove_file(&self.part);
        }
    }
}

/// Creates and locks the temporary file. One that a killed run left is removed, not reused: others may be able to read it. If another run is
/// writing it, this fails.
fn lock_part(part: &Path) -> Result<File> {
    loop {
        match OpenOptions::new().write(true).create_new(true).mode(OWN).open(part) {
            Ok(file) => {
                if lock(&file, part)? {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_left(part)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a temporary file, unless another run holds its lock.
fn remove_left(part: &Path) -> Result<()> {
    // No run leaves a link or a pipe. They are not opened: what a link names may not exist, and a pipe would keep us waiting.
    if fs::symlink_metadata(part).is_ok_and(|there| !there.is_file()) {
        return Ok(fs::remove_file(part)?);
    }
    match File::open(part) {
        Ok(left) if lock(&left, part)? => Ok(fs::remove_file(part)?),
        Ok(_) => Ok(()),
        // Its run has just ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Locks a file that was opened under the name `part`. False: it does not have that name any more, because its run renamed or removed it
/// between open and lock.
fn lock(file: &File, part: &Path) -> Result<bool> {
    match file.try_lock() {
        // On file systems without locks, concurrent runs are not detected.
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => bail!("another run is writing it now"),
    }
    let opened = file.metadata()?.ino();
    Ok(fs::metadata(part).is_ok_and(|there| there.ino() == opened))
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
        let kept = file.try_clone().with_context(unwritable)?;
        let unfinished = Unfinished { part, whole: path.to_owned(), file: kept, renamed: false };
        Ok(Self::new(file, path.display().to_string(), Some(unfinished)))
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
        let Some(unfinished) = &mut self.unfinished else { return Ok(()) };
        unfinished.finish().with_context(|| format!("can't write {}", self.name))
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

    #[test]
    fn what_stands_under_the_temporary_name_is_neither_written_through_nor_waited_for() {
        let path = std::env::temp_dir().join(format!("inopsio-sink-link-{}", std::process::id()));
        let (part, another) = (path.with_extension("part"), path.with_extension("another"));
        for content in [None, Some("of somebody else")] {
            if let Some(content) = content {
                fs::write(&another, content).unwrap();
            }
            std::os::unix::fs::symlink(&another, &part).unwrap();
            let mut sink = Sink::open(Some(&path)).unwrap();
            sink.buffer.extend_from_slice(b"ours\n");
            sink.finish().unwrap();
            assert_eq!(fs::read_to_string(&another).ok().as_deref(), content);
            assert_eq!(fs::read_to_string(&path).unwrap(), "ours\n");
        }
        fs::remove_file(&path).unwrap();
        fs::remove_file(&another).unwrap();
    }

    #[test]
    fn a_file_is_its_owners_only_from_its_first_byte_on_unless_the_one_that_it_replaces_is_not() {
        let path = std::env::temp_dir().join(format!("inopsio-sink-own-{}", std::process::id()));
        let part = path.with_extension("part");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // As a killed run of an earlier program left it.
        fs::write(&part, "some").unwrap();
        fs::set_permissions(&part, Permissions::from_mode(0o644)).unwrap();
        for replaced in [None, Some(0o640)] {
            if let Some(replaced) = replaced {
                fs::set_permissions(&path, Permissions::from_mode(replaced)).unwrap();
            }
            let mut sink = Sink::open(Some(&path)).unwrap();
            assert_eq!(mode(&part), OWN);
            sink.buffer.extend_from_slice(b"who somebody is\n");
            sink.finish().unwrap();
            assert_eq!(mode(&path), replaced.unwrap_or(OWN));
        }
        fs::remove_file(&path).unwrap();
    }
}
