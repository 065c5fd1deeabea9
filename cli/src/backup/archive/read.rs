//! Reading a backup. Altered or truncated files are reported as errors.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use eventstore::PAGE_BYTES;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use zstd::Decoder;

use super::manifest::{Manifest, OLDEST, Part, VERSION};
use super::rows::Row;
use super::{MANIFEST, SUMS};

/// The maximum length of an uncompressed line in bytes. Answers may be long; a longer line can't come from this program.
const LONGEST: u64 = 64 << 20;
/// The maximum number of rows in a batch; a batch also ends when its lines reach [`PAGE_BYTES`].
const BATCH: usize = 2_000;

/// An opened backup whose manifest and hashes were verified.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub digest: String,
}

impl Archive {
    /// Opens a backup. Checks that manifest and hashes agree, that this program reads the version, and that each part exists with its
    /// length. If `expected` is given, the manifest must have this SHA-256.
    pub fn open(folder: &Path, expected: Option<&str>) -> Result<Self> {
        let shown = folder.display();
        let read = |name: &str| {
            fs::read(folder.join(name))
                .with_context(|| format!("{shown} is not a complete backup: {name} can't be read"))
        };
        let text = read(MANIFEST)?;
        let sums = String::from_utf8(read(SUMS)?).with_context(|| format!("{shown}/{SUMS} is altered"))?;
        let digest = hex::encode(Sha256::digest(&text));
        // Checked before the hashes, because another version may store them in another way.
        let version = serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|m| m.get("version")?.as_u64());
        if let Some(version) = version.filter(|version| !(u64::from(OLDEST)..=u64::from(VERSION)).contains(version)) {
            bail!(
                "{shown} is a backup of format version {version}; this program reads versions {OLDEST} to {VERSION}: use the program that wrote it"
            );
        }
        ensure!(
            sums.lines().next() == Some(&format!("{digest}  {MANIFEST}")),
            "{shown}/{MANIFEST} is altered: {SUMS} has another hash for it"
        );
        if let Some(expected) = expected {
            ensure!(
                expected.eq_ignore_ascii_case(&digest),
                "{shown} is not the backup with the digest {expected}: it has {digest}"
            );
        }
        let manifest: Manifest =
            serde_json::from_slice(&text).with_context(|| format!("{shown}/{MANIFEST} can't be read"))?;
        ensure!(manifest.format == "inopsio-backup", "{shown} is not an Inopsio backup: it is a {:?}", manifest.format);
        let archive = Self { folder: folder.to_owned(), manifest, digest };
        ensure!(
            archive.manifest.sums(&archive.digest) == sums,
            "{shown}/{SUMS} is altered: the manifest has other hashes"
        );
        for part in archive.manifest.parts() {
            archive.check_length(part)?;
        }
        Ok(archive)
    }

    /// The path of a part. Only plain file names are accepted, so that a manifest can't point outside the folder.
    fn path(&self, part: &Part) -> Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        ensure!(part.file.chars().all(plain), "{:?} is no name of a part", part.file);
        Ok(self.folder.join(&part.file))
    }

    fn check_length(&self, part: &Part) -> Result<()> {
        let path = self.path(part)?;
        let length = fs::metadata(&path).with_context(|| format!("the backup's {} is missing", part.file))?.len();
        ensure!(
            length == part.bytes,
            "{} is truncated or altered: it has {length} bytes, the manifest says {}",
            path.display(),
            part.bytes
        );
        Ok(())
    }

    /// Checks length and SHA-256 of a part.
    fn check_hash(&self, part: &Part) -> Result<()> {
        self.check_length(part)?;
        let path = self.path(part)?;
        let mut hasher = Sha256::new();
        let mut file = File::open(&path)?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = file.read(&mut buffer).with_context(|| format!("can't read {}", path.display()))?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
        }
        ensure!(
            hex::encode(hasher.finalize()) == part.sha256,
            "{} is altered: its SHA-256 is not the one in the manifest",
            path.display()
        );
        Ok(())
    }

    /// Reads the rows of a part in batches, ahead on a blocking thread. An alteration or truncation may be found only at the end: rely on
    /// the rows only when the channel has closed without an error.
    pub fn rows<R: Row>(&self, part: &Part) -> mpsc::Receiver<Result<Vec<R::Of>>> {
        let (sender, receiver) = mpsc::channel(2);
        let (archive, part) = (self.clone(), part.clone());
        tokio::task::spawn_blocking(move || {
            let Err(error) = archive.read::<R>(&part, &sender) else { return };
            // Damage can cause many different errors. If the hash differs, report that instead.
            let error = archive.check_hash(&part).err().unwrap_or_else(|| error.context(part.file.clone()));
            let _ = sender.blocking_send(Err(error)); // fails if the receiver was dropped
        });
        receiver
    }

    fn read<R: Row>(&self, part: &Part, to: &mpsc::Sender<Result<Vec<R::Of>>>) -> Result<()> {
        let mut file = Hashing { file: File::open(self.path(part)?)?, hasher: Sha256::new() };
        let mut lines = BufReader::with_capacity(1 << 18, Decoder::new(&mut file)?);
        let (mut line, mut batch, mut bytes, mut rows) = (Vec::new(), Vec::with_capacity(BATCH), 0, 0_u64);
        loop {
            line.clear();
            lines.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            ensure!(line.ends_with(b"\n"), "its line {} is longer than {LONGEST} bytes", rows + 1);
            let row: R = serde_json::from_slice(&line).with_context(|| format!("its line {}", rows + 1))?;
            batch.push(row.read().with_context(|| format!("its line {}", rows + 1))?);
            rows += 1;
            bytes += line.len();
            if batch.len() == BATCH || bytes >= PAGE_BYTES {
                bytes = 0;
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if to.blocking_send(Ok(full)).is_err() {
                    return Ok(());
                }
            }
        }
        drop(lines);
        std::io::copy(&mut file, &mut std::io::sink())?;
        ensure!(hex::encode(file.hasher.finalize()) == part.sha256, "its SHA-256 is not the one in the manifest");
        ensure!(rows == part.rows, "it has {rows} rows, the manifest says {}", part.rows);
        if !batch.is_empty() {
            let _ = to.blocking_send(Ok(batch)); // fails if the receiver was dropped
        }
        Ok(())
    }

    /// Reads all rows of a small part into memory.
    pub async fn all<R: Row>(&self, part: &Part) -> Result<Vec<R::Of>> {
        let mut batches = self.rows::<R>(part);
        let mut all = Vec::new();
        while let Some(batch) = batches.recv().await {
            all.extend(batch?);
        }
        Ok(all)
    }

    /// The manifest's entry of a service.
    pub fn service(&self, name: &str) -> Result<&super::ServicePart> {
        let found = self.manifest.services.iter().find(|log| log.service == name);
        found.ok_or_else(|| anyhow!("the backup has no service {name}"))
    }
}

/// A file reader that hashes the bytes that are read.
struct Hashing {
    file: File,
    hasher: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
