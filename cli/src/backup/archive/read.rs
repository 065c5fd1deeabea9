//! Reading a backup. What is altered or truncated is found, and said, before anything rests on it.

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

/// The longest line that is taken: an answer may be long, a file that unpacks to more is not ours.
const LONGEST: u64 = 64 << 20;
/// Rows that are handed over at once, fewer if they are long: until their lines have [`PAGE_BYTES`].
const BATCH: usize = 2_000;

/// A backup whose manifest is what it was.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub digest: String,
}

impl Archive {
    /// Opens a backup: manifest and hashes fit each other, the version is ours, each part is there in its length. With
    /// `expected`, the manifest is the one that has this SHA-256.
    pub fn open(folder: &Path, expected: Option<&str>) -> Result<Self> {
        let shown = folder.display();
        let read = |name: &str| {
            fs::read(folder.join(name))
                .with_context(|| format!("{shown} is not a complete backup: {name} can't be read"))
        };
        let text = read(MANIFEST)?;
        let sums = String::from_utf8(read(SUMS)?).with_context(|| format!("{shown}/{SUMS} is altered"))?;
        let digest = hex::encode(Sha256::digest(&text));
        // Before the hashes: another version may have another form of them.
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

    /// A name alone, never a path that leads elsewhere.
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

    /// That a part is what the manifest says, byte by byte.
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

    /// The rows of a part, in batches, read ahead on a thread of their own. After the last comes nothing only if the part is
    /// whole and unaltered: until then what came before is not to be relied on.
    pub fn rows<R: Row>(&self, part: &Part) -> mpsc::Receiver<Result<Vec<R::Of>>> {
        let (sender, receiver) = mpsc::channel(2);
        let (archive, part) = (self.clone(), part.clone());
        tokio::task::spawn_blocking(move || {
            let Err(error) = archive.read::<R>(&part, &sender) else { return };
            // What was altered shows in many ways; say that, rather than which.
            let error = archive.check_hash(&part).err().unwrap_or_else(|| error.context(part.file.clone()));
            let _ = sender.blocking_send(Err(error)); // who asked has gone
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
            let _ = to.blocking_send(Ok(batch)); // who asked has gone
        }
        Ok(())
    }

    /// All rows of a small part.
    pub async fn all<R: Row>(&self, part: &Part) -> Result<Vec<R::Of>> {
        let mut batches = self.rows::<R>(part);
        let mut all = Vec::new();
        while let Some(batch) = batches.recv().await {
            all.extend(batch?);
        }
        Ok(all)
    }

    /// The log of a service.
    pub fn service(&self, name: &str) -> Result<&super::ServicePart> {
        let found = self.manifest.services.iter().find(|log| log.service == name);
        found.ok_or_else(|| anyhow!("the backup has no service {name}"))
    }
}

/// A file that hashes what is read of it.
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
