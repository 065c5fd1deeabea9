//! The Postgres that a whole test run shares. Each test is a separate process, so it is found through files.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;

use sqlx::postgres::PgConnectOptions;

use crate::{cluster, programs};

/// The superuser's connection options for the shared Postgres: the one in `INOPSIO_TEST_POSTGRES`, otherwise one that the first test starts
/// and that ends some seconds after the last test.
pub fn postgres() -> PgConnectOptions {
    static SHARED: OnceLock<PgConnectOptions> = OnceLock::new();
    SHARED
        .get_or_init(|| match std::env::var("INOPSIO_TEST_POSTGRES") {
            Ok(url) => PgConnectOptions::from_str(&url).expect("INOPSIO_TEST_POSTGRES is a Postgres URL"),
            Err(_) => cluster::admin(join()),
        })
        .clone()
}

/// Registers this process as a user of the shared server, and starts it if needed. Returns its port.
fn join() -> u16 {
    let dir = directory();
    let starting = File::create(dir.join("start.lock")).expect("start.lock");
    starting.lock().expect("start.lock can be locked");
    // Locked as long as this process lives: it shows the keeper that the server is in use.
    let using = File::create(dir.join("users.lock")).expect("users.lock");
    using.lock_shared().expect("users.lock can be locked");
    std::mem::forget(using);
    let port_file = dir.join("port");
    let running = std::fs::read_to_string(&port_file).ok().and_then(|text| text.trim().parse::<u16>().ok());
    if let Some(port) = running.filter(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
        return port;
    }
    let data = dir.join("cluster");
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir(&data).expect("a directory for the shared Postgres");
    cluster::initialize(&data);
    let port = programs::free_port();
    // Without fsync: a crash of the machine may lose a test's data.
    let quick =
        "-c fsync=off -c synchronous_commit=on -c full_page_writes=off -c shared_buffers=256MB -c max_wal_size=2GB";
    assert!(cluster::start(&data, port, quick), "the shared Postgres does not start, see {}/log", data.display());
    std::fs::write(&port_file, port.to_string()).expect("the port can be noted");
    keep(&dir, cluster::server_pid(&data));
    port
}

/// One directory per checkout, because checkouts may need different servers.
pub(crate) fn directory() -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
    let dir = std::env::temp_dir().join(format!("inopsio-testbed-{:016x}", hasher.finish()));
    std::fs::create_dir_all(&dir).expect("a directory for the shared Postgres");
    dir
}

/// Starts the keeper, a process that stops the server when nobody has used it for some seconds.
#[expect(clippy::zombie_processes, reason = "the keeper outlives this process on purpose")]
fn keep(dir: &Path, pid: u32) {
    const KEEPER: &str = "
import fcntl, os, shutil, signal, sys, time
directory, pid = sys.argv[1], int(sys.argv[2])
users = open(os.path.join(directory, 'users.lock'), 'a')
start = open(os.path.join(directory, 'start.lock'), 'a')
idle = 0
while True:
    time.sleep(1)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(users, fcntl.LOCK_UN)
        idle += 1
    except OSError:
        idle = 0
    if idle < 20:
        continue
    fcntl.flock(start, fcntl.LOCK_EX)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        fcntl.flock(start, fcntl.LOCK_UN)
        idle = 0
        continue
    try:
        os.kill(pid, signal.SIGQUIT)
        while True:
            os.kill(pid, 0)
            time.sleep(0.1)
    except ProcessLookupError:
        pass
    shutil.rmtree(os.path.join(directory, 'cluster'), ignore_errors=True)
    try:
        os.remove(os.path.join(directory, 'port'))
    except FileNotFoundError:
        pass
    break
";
    Command::new("python3")
        .args(["-c", KEEPER])
        .arg(dir)
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("python3 starts");
}
