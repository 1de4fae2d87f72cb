//! A relay with its own database, a mesh and agents that are set up on this machine.

use super::{editor::Editor, relay::free_port};
use std::{path::Path, process::Command};
use tempfile::TempDir;

pub struct Team {
    home: TempDir,
    listen: String,
}

impl Team {
    /// A mesh `proj` with these agents.
    pub fn of(agents: &[&str]) -> Team {
        let team = Team {
            home: tempfile::tempdir().unwrap(),
            listen: format!("127.0.0.1:{}", free_port()),
        };
        team.up();
        assert_eq!(team.mesh(&["create", "proj"]).0, 0);
        for agent in agents {
            assert_eq!(team.mesh(&["setup", agent]).0, 0);
        }
        team
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn up(&self) {
        assert_eq!(
            self.mesh(&["up", "--listen", &self.listen, "--detach"]).0,
            0
        );
    }

    pub fn down(&self) {
        assert_eq!(self.mesh(&["down"]).0, 0);
    }

    /// Runs a command: exit code and what it printed.
    pub fn mesh(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        let output = command
            .arg("--home")
            .arg(self.home())
            .args(arguments)
            .output()
            .unwrap();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    /// An initialized window of `agent` in an editor that calls itself `client`.
    pub fn window(&self, agent: &str, client: &str) -> Editor {
        self.start(agent, client, &[])
    }

    pub fn start(&self, agent: &str, client: &str, more: &[&str]) -> Editor {
        let arguments = [&["mcp", "--mesh", "proj", "--agent", agent], more].concat();
        let mut editor = Editor::start(self.home(), &arguments);
        editor.initialize(client, "2025-11-25");
        editor
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.mesh(&["down"]);
    }
}
