//! The private Postgres: finds, initialises, starts and recovers it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::Command;

use super::account::Account;
use super::home::Home;
use super::process::{self, Server};
use super::secrets;

/// The superuser's name.
const SUPERUSER: &str = "postgres";

/// The signal for a fast shutdown: open transactions are rolled back.
const FAST: Signal = Signal::INT;

/// The durability of the data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// Durable: survives a crash of the machine.
    Kept,
    /// Temporary: nothing is synced to disk, because the data is removed when the server stops.
    Discarded,
}

impl Data {
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Kept => &[],
            Self::Discarded => &["fsync=off", "synchronous_commit=off", "full_page_writes=off"],
        }
    }
}

/// Starts the private Postgres on a port of 127.0.0.1, and initialises its data folder at the first start.
pub async fn start(home: &Home, port: u16, kept: Data) -> Result<Server> {
    // An absolute path, because the server runs in another folder; and without our symbolic link, which its account may be unable to follow.
    let binaries = find(home)?.canonicalize()?;
    let account = Account::for_servers()?;
    let folder = home.postgres(account.as_ref())?;
    let data = folder.join("data");
    let password = secrets::random_once(home, "postgres_admin")?;

    if data.is_dir() {
        check_version(&binaries, &data)?;
    } else {
        initialise(&binaries, &folder, account.as_ref(), &password, kept).await?;
    }

    let mut command = Command::new(binaries.join("postgres"));
    command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    for setting in ["unix_socket_directories=", "max_connections=200", "wal_compression=on", "log_min_messages=warning"]
        .iter()
        .chain(kept.settings())
    {
        command.args(["-c", setting]);
    }
    for (name, value) in eventstore::server_settings() {
        command.args(["-c", &format!("{name}={value}")]);
    }
    prepare(&mut command, &folder);
    let log = folder.join("log");
    shorten(&log)?;
    let mut server = Server::start("the private Postgres", command, account.as_ref(), &log, FAST)?;
    let status = data.join("postmaster.pid");
    // After a crash, Postgres first replays its write-ahead log, which may take long.
    server.ready(Duration::from_mins(2), async |pid| says_ready(&status, pid)).await?;
    Ok(server)
}

/// The superuser's connection URL, for migrations only.
pub fn admin_url(port: u16, password: &str) -> String {
    format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{SUPERUSER}?sslmode=disable")
}

/// The folder with `postgres` and `initdb`.
fn find(home: &Home) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("INOPSIO_POSTGRES_BIN") {
        let folder = PathBuf::from(folder);
        if has_server(&folder) {
            return Ok(folder);
        }
        bail!("INOPSIO_POSTGRES_BIN={} has no Postgres server (initdb and postgres)", folder.display());
    }
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = installed.map(|entry| entry.path().join("bin")).collect();
    versions.sort_by_key(|folder| std::cmp::Reverse(major(folder)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = home.tools().map(|tools| tools.join("postgres"));
    ours.into_iter()
        .chain(std::env::split_paths(&path))
        .chain(versions)
        .find(|folder| has_server(folder))
        .context("there is no Postgres server: run scripts/setup, or set INOPSIO_POSTGRES_BIN to a folder with initdb and postgres")
}

fn has_server(folder: &Path) -> bool {
    folder.join("postgres").is_file() && folder.join("initdb").is_file()
}

/// The major version from a path like `/usr/lib/postgresql/17/bin`.
fn major(folder: &Path) -> u32 {
    folder.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse().ok()).unwrap_or_default()
}

/// Runs initdb under a temporary name and renames the result, so that an interrupted start leaves no incomplete data folder.
async fn initialise(
    binaries: &Path,
    folder: &Path,
    account: Option<&Account>,
    password: &str,
    kept: Data,
) -> Result<()> {
    let draft = folder.join("data.draft");
    let password_file = folder.join("password.draft");
    let _ = fs::remove_dir_all(&draft);
    secrets::write(&password_file, password)?;
    if let Some(account) = account {
        std::os::unix::fs::chown(&password_file, Some(account.uid), Some(account.gid))?;
    }
    let mut command = Command::new(binaries.join("initdb"));
    command
        .arg("-D")
        .arg(&draft)
        .arg(format!("--pwfile={}", password_file.display()))
        .args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--data-checksums"])
        .arg(if cfg!(target_os = "macos") { "--locale=en_US.UTF-8" } else { "--locale=C.UTF-8" });
    if kept == Data::Discarded {
        command.arg("--no-sync");
    }
    prepare(&mut command, folder);
    process::run_as(&mut command, account);
    // If we are stopped meanwhile, initdb is killed too.
    let output = command.kill_on_drop(true).output().await.context("can't run initdb");
    fs::remove_file(&password_file)?;
    let output = output?;
    if !output.status.success() {
        bail!("initdb failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    fs::rename(&draft, folder.join("data")).context("can't put the new data folder in place")
}

/// Clears the environment variables of a server's command, except PATH, and sets its folder.
fn prepare(command: &mut Command, folder: &Path) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TZ", "UTC").current_dir(folder);
}

/// Checks that the data has the server's major version, for a clearer error than Postgres gives.
fn check_version(binaries: &Path, data: &Path) -> Result<()> {
    let output = std::process::Command::new(binaries.join("postgres")).arg("--version").output();
    let output = output.with_context(|| format!("can't run {}/postgres", binaries.display()))?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let binary =
        version.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty()).unwrap_or_default().to_owned();
    let stored = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
    if stored.trim() != binary {
        bail!(
            "the data in {} is of Postgres {}, but {} is Postgres {binary}: set INOPSIO_POSTGRES_BIN to the old one's folder, or move the data away to start afresh",
            data.display(),
            stored.trim(),
            binaries.display(),
        );
    }
    Ok(())
}

/// Whether `postmaster.pid` has our process id (line 1) and the status `ready` (line 8), as `pg_ctl` checks it.
fn says_ready(status: &Path, pid: u32) -> bool {
    let content = fs::read_to_string(status).unwrap_or_default();
    let lines: Vec<_> = content.lines().map(str::trim).collect();
    lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
}

/// Stops Postgres processes of a killed run or of a killed postmaster, and removes their pid file.
pub async fn stop_left_behind(home: &Home) -> Result<()> {
    let data = &home.postgres(Account::for_servers()?.as_ref())?.join("data");
    let pid_file = data.join("postmaster.pid");
    process::stop_orphan("Postgres", &pid_file, data, FAST).await?;
    // Backends notice the end of their postmaster, but not at once.
    let begin = Instant::now();
    while process::is_working_folder(data) {
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("processes of an earlier Postgres still use {}", data.display());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The pid file is stale now. Postgres detects that itself, except when another process has the same id by now.
    if cfg!(target_os = "linux") && pid_file.exists() {
        fs::remove_file(&pid_file).with_context(|| format!("can't remove the stale {}", pid_file.display()))?;
    }
    Ok(())
}

/// Removes a log of over 10 MiB, so that a new one is begun.
fn shorten(log: &Path) -> Result<()> {
    if fs::metadata(log).is_ok_and(|metadata| metadata.len() > 10 << 20) {
        fs::remove_file(log).with_context(|| format!("can't remove {}", log.display()))?;
    }
    Ok(())
}
