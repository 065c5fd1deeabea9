//! Writing a backup: first under a temporary name, then synced and renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest, Sha256};
use zstd::Encoder;

use super::manifest::{Manifest, Part};
use super::rows::Row;
use super::{MANIFEST, SUMS};

/// zstd's default level. The next levels take twice the time and save a few per cent.
const LEVEL: i32 = 3;

/// A backup that is being written. It is removed when it is dropped unfinished.
pub struct Draft {
    place: PathBuf,
    beside: PathBuf,
    /// An exclusive lock on the draft's folder. It tells other runs that the draft is in use.
    _lock: File,
    finished: bool,
}

impl Draft {
    /// Begins a backup at `place`, which must not exist. Removes the draft of a killed run.
    pub fn begin(place: &Path) -> Result<Self> {
        if fs::symlink_metadata(place).is_ok() {
            bail!("{} is there already: a backup never overwrites; choose another place", place.display());
        }
        let name = place.file_name().with_context(|| format!("{} is not a valid folder name", place.display()))?;
        let draft = place.with_file_name(format!("{}.draft", name.to_string_lossy()));
        // It is not made: on a disk that is not mounted, the backup would be elsewhere than its operator thinks.
        if let Some(parent) = place.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.is_dir()) {
            bail!("there is no folder {}: make it first (or mount its disk)", parent.display());
        }
        if let Ok(left) = File::open(&draft) {
            match left.try_lock() {
                Ok(()) => fs::remove_dir_all(&draft)
                    .with_context(|| format!("can't remove what an earlier backup left in {}", draft.display()))?,
                Err(TryLockError::WouldBlock) => bail!("another backup is being written to {}", draft.display()),
                Err(TryLockError::Error(error)) => return Err(error).context(draft.display().to_string()),
            }
        }
        // Only the owner may enter: the folder will hold every tenant's data.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&draft)
            .with_context(|| format!("can't make the folder {}", draft.display()))?;
        let lock = File::open(&draft)?;
        lock.try_lock().with_context(|| format!("can't lock {}", draft.display()))?;
        Ok(Self { place: place.to_owned(), beside: draft, _lock: lock, finished: false })
    }

    /// Begins a part with this name.
    pub fn part<R: Row>(&self, name: &str) -> Result<PartWriter<R>> {
        let file = format!("{name}.ndjson.zst");
        let output = Output::create(&self.beside.join(&file))?;
        let mut encoder = Encoder::new(output, LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(PartWriter { file, encoder, line: Vec::new(), rows: 0, row: std::marker::PhantomData })
    }

    /// Writes the manifest and the hashes, and renames the draft to its final place. Returns the manifest's SHA-256. Kept elsewhere, it
    /// proves later that nothing was altered.
    pub fn finish(mut self, manifest: &Manifest) -> Result<String> {
        let mut text = serde_json::to_vec_pretty(manifest)?;
        text.push(b'\n');
        let digest = self.file(MANIFEST, &text)?;
        self.file(SUMS, manifest.sums(&digest).as_bytes())?;
        sync(&self.beside).with_context(|| format!("can't sync {}", self.beside.display()))?;
        // Fails if something was created there meanwhile, unless that is an empty folder.
        fs::rename(&self.beside, &self.place)
            .with_context(|| format!("can't put the backup in its place {}", self.place.display()))?;
        self.finished = true;
        let parent = self.place.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new("."))).with_context(|| {
            format!(
                "the backup {} is complete (digest {digest}), but it is not certain that it would be there after a power failure",
                self.place.display()
            )
        })?;
        Ok(digest)
    }

    /// Writes and syncs a file. Returns its SHA-256.
    fn file(&self, name: &str, content: &[u8]) -> Result<String> {
        let mut output = Output::create(&self.beside.join(name))?;
        let written = output.write_all(content).and_then(|()| output.finish());
        let (_, sha256) = written.with_context(|| format!("can't write {name}"))?;
        Ok(sha256)
    }
}

/// Makes sure that the names in a folder are on the disk.
fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_dir_all(&self.beside); // if it fails, the next backup removes it
        }
    }
}

/// A part that is being written.
pub struct PartWriter<R> {
    file: String,
    encoder: Encoder<'static, Output>,
    line: Vec<u8>,
    rows: u64,
    row: std::marker::PhantomData<R>,
}

impl<R: Row> PartWriter<R> {
    /// Appends a row.
    pub fn push(&mut self, value: &R::Of) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &R::of(value)?)?;
        self.line.push(b'\n');
        self.encoder.write_all(&self.line).with_context(|| format!("can't write {}", self.file))?;
        self.rows += 1;
        Ok(())
    }

    /// Finishes and syncs the file. Returns its manifest entry.
    pub fn finish(self) -> Result<Part> {
        let Self { file, encoder, rows, .. } = self;
        let written = encoder.finish().and_then(Output::finish);
        let (bytes, sha256) = written.with_context(|| format!("can't write {file}"))?;
        Ok(Part { file, rows, bytes, sha256 })
    }
}

/// A new file that counts and hashes the bytes that are written.
struct Output {
    file: BufWriter<File>,
    bytes: u64,
    hasher: Sha256,
}

impl Output {
    fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("can't write {}", path.display()))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 18, file), bytes: 0, hasher: Sha256::new() })
    }

    fn finish(self) -> std::io::Result<(u64, String)> {
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok((self.bytes, hex::encode(self.hasher.finalize())))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
