//! A private network that can be cut: a network namespace for each host, and a bridge between them and the test.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Hosts with their own addresses, which can reach each other and the test. It is removed on drop, or when the test ends.
pub struct Network {
    name: String,
    prefix: String,
    size: usize,
    keeper: Child,
}

impl Network {
    /// Creates a network of `size` hosts. Returns the reason if the machine does not allow it.
    pub fn of(size: usize) -> Result<Self, String> {
        let name = format!("ino{}", std::process::id());
        let third = std::process::id() % 250;
        let prefix = format!("10.203.{third}");
        let taken = ip(&["-o", "addr"])?;
        if taken.contains(&format!(" {prefix}.")) {
            return Err(format!("the addresses {prefix}.0/24 are taken"));
        }
        let keeper = keeper(&name, size).map_err(|error| error.to_string())?;
        let network = Self { name, prefix, size, keeper };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result<(), String> {
        let bridge = &self.name;
        ip(&["link", "add", bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/24", self.address_of_bridge()), "dev", bridge])?;
        ip(&["link", "set", bridge, "up"])?;
        for host in 0..self.size {
            let (namespace, link) = (self.namespace(host), format!("{bridge}v{host}"));
            ip(&["netns", "add", &namespace])?;
            ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
            ip(&["link", "set", &link, "master", bridge, "up"])?;
            ip(&["-n", &namespace, "addr", "add", &format!("{}/24", self.address(host)), "dev", "eth0"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    /// Number of hosts.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The address of a host.
    pub fn address(&self, host: usize) -> String {
        format!("{}.{}", self.prefix, host + 2)
    }

    /// The namespace of a host.
    pub(crate) fn namespace(&self, host: usize) -> String {
        format!("{}n{host}", self.name)
    }

    /// Cuts a host off from the other hosts. The test can still reach all of them.
    pub fn cut(&self, host: usize) {
        self.each_way(host, "add");
    }

    /// Ends the cut.
    pub fn mend(&self, host: usize) {
        self.each_way(host, "del");
    }

    fn each_way(&self, host: usize, what: &str) {
        for other in (0..self.size).filter(|other| *other != host) {
            for (from, to) in [(host, other), (other, host)] {
                let route = ["-n", &self.namespace(from), "route", what, "blackhole", &self.address(to)];
                ip(&route).expect("the way between two hosts can be changed");
            }
        }
    }

    fn address_of_bridge(&self) -> String {
        format!("{}.1", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A shell process that waits until the test closes its pipe (or dies), and then removes the network.
fn keeper(name: &str, size: usize) -> std::io::Result<Child> {
    let hosts: Vec<_> = (0..size).map(|host| format!("ip netns del {name}n{host}")).collect();
    Command::new("sh")
        .arg("-c")
        .arg(format!("cat >/dev/null; {}; ip link del {name}", hosts.join("; ")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
