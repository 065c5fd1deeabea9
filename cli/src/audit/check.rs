//! `inopsio audit check`: verifies an exported history offline, with the file and public keys only.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use eventstore::seals::{Audit, Seal, SealedBy, check_signature};
use kernel::root_by_path;
use serde::Serialize;

use super::document::{End, Entry, FORM, Head, Line};
use super::{known, trusted};
use crate::output::{self, Format};

/// The maximum length of a line in bytes (4 MiB). An event is at most 256 KiB.
const LONGEST: u64 = 4 << 20;

/// Why a file is none of ours, whatever else is wrong with it.
const FOREIGN: &str = "it does not begin as a file of `inopsio audit export` does";

/// Checks a file of `inopsio audit export` against a public key, without any server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  inopsio audit check sign-ins.ndjson --key inopsio-seals.pem\n  \
    inopsio audit check crm.ndjson --key inopsio-seals.pem --known crm-of-last-quarter.ndjson\n\n\
    Needs no configuration and no network. If anything is wrong, the exit code is not 0, and the message names the line, the event or the \
    seals between which events were altered.")]
pub struct Check {
    /// The file to check
    file: PathBuf,
    /// The trusted public keys, as PEM (`inopsio audit key`)
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// An earlier file of the same history: the checked file, which has to be a whole history, has to begin with it
    #[arg(long, value_name = "FILE")]
    known: Vec<PathBuf>,
}

/// The result of a successful check.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Proven {
    tenant: uuid::Uuid,
    service: String,
    of: String,
    /// Whether the file has the tenant's complete history up to the last seal.
    whole: bool,
    events: u64,
    /// Number of events that the last seal covers.
    sealed: u64,
    root: String,
    sealed_at: chrono::DateTime<chrono::Utc>,
    key: String,
    /// Number of events after the last seal of a whole history: only their order is proven.
    unsealed: u64,
}

impl Check {
    /// Runs the command.
    pub fn run(self, format: Format) -> Result<()> {
        let trusted = trusted::of_files(&self.key)?;
        let known: Vec<Seal> = known::read(&self.known)?.into_iter().flat_map(|known| known.seals).collect();
        let file = File::open(&self.file).with_context(|| format!("can't read {}", self.file.display()))?;
        let proven = check(BufReader::new(file), trusted, &known)
            .with_context(|| format!("{} proves nothing", self.file.display()))?;
        if format == Format::Json {
            return output::print_json(&proven);
        }
        output::print(proven.text())
    }
}

impl Proven {
    /// The result for people. Of the file's words, only those that a trusted key signed stand there as they are: who made the file chose the
    /// others, and could word a verdict of their own with them.
    fn text(&self) -> String {
        let whole = if self.whole { "the whole history" } else { "a part of the history" };
        let mut lines = vec![format!(
            "{} events, {whole} of tenant {} in {}: as they were sealed at {} by {} (the first {} events, root {})",
            self.events,
            self.tenant,
            self.service,
            output::time(self.sealed_at),
            self.key,
            self.sealed,
            self.root
        )];
        if !self.whole {
            lines.push(format!(
                "Whoever made the file calls this part {:?}: that nothing of it is missing is not proven",
                self.of
            ));
        }
        if self.unsealed > 0 {
            lines.push(format!("The last {} events are not sealed yet: nothing is proven about them", self.unsealed));
        }
        lines.join("\n")
    }
}

/// Reads a file line by line, and keeps the number of the last line read for error messages.
struct Lines<R> {
    from: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Line>> {
        let mut text = Vec::new();
        self.from.by_ref().take(LONGEST).read_until(b'\n', &mut text).context("it can't be read")?;
        if text.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        ensure!(text.ends_with(b"\n"), "line {} is cut off, or too long", self.number);
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("line {} does not belong in such a file", self.number))
    }
}

fn check(from: impl BufRead, trusted: Vec<SealedBy>, known: &[Seal]) -> Result<Proven> {
    let mut lines = Lines { from, number: 0 };
    let first = lines.next();
    // Not for a file that can't be read at all, such as a folder.
    let first = if lines.number > 0 { first.context(FOREIGN)? } else { first? };
    let Some(Line::Head(head)) = first else { bail!(FOREIGN) };
    ensure!(head.inopsio_history == FORM, "it is of form {}; this program reads {FORM}", head.inopsio_history);
    ensure!(
        head.whole || known.is_empty(),
        "only a whole history can be compared with an earlier file, and it is a part of one"
    );
    if head.whole { whole(lines, head, trusted, known) } else { part(lines, head, &trusted) }
}

fn whole(mut lines: Lines<impl BufRead>, head: Head, trusted: Vec<SealedBy>, known: &[Seal]) -> Result<Proven> {
    let mut audit = Audit::new(trusted);
    for seal in known {
        check_owner(&head, seal).context("the earlier file is of another history")?;
        audit.require(seal.clone())?;
    }
    let events = loop {
        match lines.next()?.context("its end is missing")? {
            Line::Seal(seal) => {
                check_owner(&head, &seal)?;
                audit.seal(seal)?;
            }
            Line::Event(entry) => {
                let (expected, found) = (audit.events() + 1, entry.number);
                ensure!(found == expected, "line {}: event {found} stands where {expected} belongs", lines.number);
                audit.event(&entry.event(head.tenant))?;
            }
            Line::End(End { events }) => break events,
            Line::Head(_) => bail!("line {}: a second beginning", lines.number),
        }
    };
    ended(&mut lines, events, audit.events())?;
    let verdict = audit.finish()?;
    let unsealed = verdict.unsealed();
    let seal = verdict.last.context("it has no seal")?;
    Ok(proven(head, events, &seal, unsealed))
}

fn part(mut lines: Lines<impl BufRead>, head: Head, trusted: &[SealedBy]) -> Result<Proven> {
    let Some(Line::Seal(seal)) = lines.next()? else { bail!("it has no seal") };
    check_owner(&head, &seal)?;
    check_signature(&seal, trusted)?;
    let (mut events, mut last) = (0, 0);
    let said = loop {
        match lines.next()?.context("its end is missing")? {
            Line::Event(entry) => {
                ensure!(entry.number > last, "line {}: event {} comes after {last}", lines.number, entry.number);
                ensure!(
                    is_in(&entry, &head, &seal),
                    "line {}: event {} is not the one that was sealed",
                    lines.number,
                    entry.number
                );
                (events, last) = (events + 1, entry.number);
            }
            Line::End(End { events }) => break events,
            Line::Head(_) | Line::Seal(_) => bail!("line {} does not belong there", lines.number),
        }
    };
    ended(&mut lines, said, events)?;
    Ok(proven(head, events, &seal, 0))
}

fn is_in(entry: &Entry, head: &Head, seal: &Seal) -> bool {
    let Some((path, index)) = entry.siblings().zip(entry.number.checked_sub(1)) else { return false };
    root_by_path(&entry.event(head.tenant).leaf_hash, index, seal.size, &path) == Some(seal.root)
}

/// Checks that a seal belongs to the tenant and service that the file's head names.
fn check_owner(head: &Head, seal: &Seal) -> Result<()> {
    ensure!(
        (seal.tenant, seal.service.as_str()) == (head.tenant, head.service.as_str()),
        "a seal is of tenant {} in {}, the file of tenant {} in {}",
        seal.tenant,
        seal.service,
        head.tenant,
        head.service
    );
    Ok(())
}

fn ended(lines: &mut Lines<impl BufRead>, said: u64, found: u64) -> Result<()> {
    ensure!(said == found, "it has {found} events, and says that it has {said}");
    ensure!(lines.next()?.is_none(), "line {} comes after its end", lines.number);
    Ok(())
}

fn proven(head: Head, events: u64, seal: &Seal, unsealed: u64) -> Proven {
    Proven {
        tenant: head.tenant,
        service: head.service,
        of: head.of,
        whole: head.whole,
        events,
        sealed: seal.size,
        root: hex::encode(seal.root),
        sealed_at: seal.sealed_at,
        key: seal.key.clone(),
        unsealed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_177_a_file_for_an_auditor_does_not_word_the_verdict_about_itself() {
        let forged =
            "all events), the whole history of tenant 00000000-0000-0000-0000-000000000000 in crm\n\u{1b}[2K\u{202e}";
        let proven = Proven {
            tenant: uuid::Uuid::nil(),
            service: "crm".to_owned(),
            of: forged.to_owned(),
            whole: false,
            events: 1,
            sealed: 9,
            root: "00".repeat(32),
            sealed_at: chrono::DateTime::UNIX_EPOCH,
            key: "0123456789abcdef".to_owned(),
            unsealed: 0,
        };
        let text = proven.text();
        let [verdict, quoted] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(verdict.starts_with("1 events, a part of the history of tenant 00000000-"), "{verdict}");
        assert!(!verdict.contains("the whole history") && quoted.contains(r"in crm\n\u{1b}[2K\u{202e}"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        let whole = Proven { whole: true, ..proven }.text();
        assert!(whole.lines().count() == 1 && !whole.contains("all events"), "{whole}");
    }
}
