//! A small disk for one test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs that is unmounted on drop. Drop it after everything that uses it.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts a tmpfs of this size in MiB. Returns the reason if the machine does not allow it.
    pub fn mount(mebibytes: u32) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("inopsio-e2e-disk-{}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=755"), "tmpfs"]).arg(&folder);
        match mount.output() {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            refused => {
                let _ = std::fs::remove_dir(&folder);
                Err(match refused {
                    Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                    Err(error) => error.to_string(),
                })
            }
        }
    }

    /// The folder that it is mounted on.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Fills all free space.
    pub fn fill(&self) {
        let mut ballast = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        // Smaller and smaller pieces, so that not even a page is left.
        for size in [1 << 20, 4_096, 1] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Frees the space again.
    pub fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // A lazy unmount: files that are still open vanish with their processes.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}
