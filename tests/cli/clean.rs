//! A machine with nothing on it: a new HOME, and no variable but PATH.

use crate::common::{MESH, relay::free_port};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub struct Clean {
    pub home: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Did {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Clean {
    pub fn new() -> Clean {
        let home = tempfile::tempdir().expect("a temporary folder");
        // As root the private Postgres runs as somebody else, who must get through.
        let passable = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(home.path(), passable).expect("our folder");
        Clean { home }
    }

    /// The folder of all that Mesh keeps.
    pub fn mesh_home(&self) -> PathBuf {
        self.home.path().join("mesh")
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("a PATH"))
            .env("HOME", self.home.path())
            // Root's own default is one for the whole machine.
            .env("MESH_HOME", self.mesh_home())
            .stdin(Stdio::null())
            .current_dir(self.home.path());
        command
    }

    pub fn mesh(&self, args: &[&str]) -> Did {
        let mut command = self.command(MESH);
        command.args(args);
        run(command)
    }

    /// A line of bash, where `mesh` is the binary under test.
    pub fn shell(&self, line: &str) -> Did {
        let mut command = self.command("bash");
        command.args(["-c", &format!("mesh() {{ '{MESH}' \"$@\"; }}; {line}")]);
        run(command)
    }

    /// Must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let did = self.mesh(args);
        assert_eq!(did.code, 0, "mesh {args:?}: {did:?}");
        did.out
    }

    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("mesh {args:?}: {e}: {out}"))
    }

    /// `mesh up` on a free port; its URL.
    pub fn up(&self) -> String {
        let listen = format!("127.0.0.1:{}", free_port());
        self.ok(&["up", "--detach", "--listen", &listen]);
        format!("http://{listen}")
    }

    /// Puts a `claude` into `bin` that runs this shell script instead, and gives the PATH that finds it.
    pub fn claude(&self, script: &str) -> String {
        let bin = self.home.path().join("bin");
        std::fs::create_dir_all(&bin).expect("our folder");
        let program = bin.join("claude");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("our file");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
        format!(
            "{}:{}",
            bin.display(),
            std::env::var("PATH").expect("a PATH")
        )
    }

    pub fn mesh_with_path(&self, path: &str, args: &[&str]) -> Did {
        let mut command = self.command(MESH);
        command.env("PATH", path).args(args);
        run(command)
    }
}

pub fn run(mut command: Command) -> Did {
    let output = command.output().expect("it starts");
    Did {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Drop for Clean {
    fn drop(&mut self) {
        if self.mesh_home().join("postgres").exists() {
            self.mesh(&["down"]);
        }
    }
}
