//! Finds the servers' programs, and runs them as an account that may.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory with `initdb`, `pg_ctl` and `postgres`, version 15 or newer: from PATH, from Debian's directories, or where
/// `scripts/setup` put them.
pub(crate) fn postgres() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).filter_map(|dir| {
        // Follow a symlink into the versioned directory, because the other programs are there.
        dir.join("pg_ctl").canonicalize().ok()?.parent().map(Path::to_path_buf)
    });
    let debian =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let ours = [workspace().join(".inopsio/tools/postgres/bin"), workspace().join(".inopsio/tools/bin")];
    on_path
        .chain(debian)
        .chain(ours)
        .find(|dir| dir.join("initdb").exists() && dir.join("postgres").exists() && version(dir) >= 15)
        .expect("no Postgres 15 or newer is on PATH or in /usr/lib/postgresql; run `make db-setup`")
}

/// The major version of the Postgres in a directory; 0 if it is unknown.
pub(crate) fn version(dir: &Path) -> u32 {
    let said = Command::new(dir.join("postgres")).arg("--version").output().map(|out| out.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok()).unwrap_or(0)
}

/// The path of nats-server.
pub fn nats_server() -> PathBuf {
    if let Some(given) = std::env::var_os("INOPSIO_NATS_SERVER") {
        return given.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(workspace().join(".inopsio/tools/nats-server"))
        .chain([workspace().join(".inopsio/tools/bin/nats-server")])
        .chain(std::env::split_paths(&path).map(|dir| dir.join("nats-server")))
        .find(|file| file.is_file())
        .expect("no nats-server in .inopsio/tools or on PATH; run `make db-setup` or set INOPSIO_NATS_SERVER")
}

/// A command for one of our programs, to be configured by the test. Of the test run's settings it inherits only the paths of the servers'
/// programs.
pub fn unconfigured(program: &str) -> Command {
    let mut command = Command::new(program);
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.to_string_lossy().starts_with("INOPSIO_") && name != "INOPSIO_POSTGRES_BIN")
    {
        command.env_remove(name);
    }
    command.env("INOPSIO_NATS_SERVER", nats_server());
    command
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The account that Postgres runs as if we are root, which it refuses.
fn unprivileged() -> Option<&'static str> {
    if !is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let has = |name: &str| users.lines().any(|line| line.starts_with(&format!("{name}:")));
    Some(if has("postgres") { "postgres" } else { "nobody" })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.trim_ascii() == b"0"
}

/// A command that runs as an account which Postgres accepts.
pub(crate) fn as_postgres(program: &Path) -> Command {
    match unprivileged() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", &group_of(user), "--clear-groups"]).arg(program);
            command
        }
    }
}

/// Changes the owner of a directory to the account that Postgres runs as.
pub(crate) fn hand_over(dir: &Path) {
    if let Some(user) = unprivileged() {
        run(Command::new("chown").arg(format!("{user}:{}", group_of(user))).arg(dir));
    }
}

fn group_of(user: &str) -> String {
    let id = Command::new("id").args(["-gn", user]).output().expect("id runs");
    String::from_utf8_lossy(&id.stdout).trim().to_owned()
}

/// Runs a command, which must succeed.
pub(crate) fn run(command: &mut Command) {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        out.status.success(),
        "{command:?} said {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// A TCP port of 127.0.0.1 that is reserved for this process as long as it lives, even while no server uses it. Other tests don't get it,
/// and neither do outgoing connections, because the system assigns these from another range.
pub fn free_port() -> u16 {
    let places = crate::shared::directory().join("ports");
    std::fs::create_dir_all(&places).expect("a directory for the ports");
    // Lower ports may be refused by browsers or be used by other servers.
    let ports = 12_000..connections().max(14_000);
    let begin = std::process::id() as usize % ports.len();
    let mut ports = ports.clone().cycle().skip(begin).take(ports.len());
    ports.find(|port| take_port(&places.join(port.to_string()), *port)).expect("a free port")
}

/// Reserves a port if it is free. A reserved port's file is locked.
fn take_port(place: &Path, port: u16) -> bool {
    let Ok(place) = File::create(place) else { return false };
    let taken = place.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
    if taken {
        // Keep the lock as long as this process lives.
        std::mem::forget(place);
    }
    taken
}

/// The first port of the range from which the system assigns ports to outgoing connections.
fn connections() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}

/// A new temporary directory.
pub(crate) fn temporary_directory(what: &str) -> PathBuf {
    directory_in(&std::env::temp_dir(), what)
}

/// A new directory in `place`, with a unique name.
pub(crate) fn directory_in(place: &Path, what: &str) -> PathBuf {
    let dir = place.join(format!("inopsio-test-{what}-{}", crate::database::unique()));
    std::fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    dir
}

/// Sends a signal to a process that we started.
pub(crate) fn signal(pid: u32, signal: &str) {
    // Ignore errors: the process may have ended already.
    let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).output();
}

/// The processes whose parent is `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let ps = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().expect("ps runs");
    String::from_utf8_lossy(&ps.stdout)
        .lines()
        .filter_map(|line| {
            let (child, parent) = line.trim().split_once(char::is_whitespace)?;
            (parent.trim().parse() == Ok(pid)).then(|| child.parse().ok())?
        })
        .collect()
}
