//! `mesh up` with a private Postgres, killed in every way.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

#[test]
fn comes_back_after_any_kill() {
    let home = Home::new();
    let first = home.up();
    assert_eq!(first["ready"], true);
    assert_eq!(home.up(), first, "a second `up` reports the first");
    let other = home.mesh(&["up", "--listen", "127.0.0.2:1", "--json"]);
    let note = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        other.status.success() && note.contains("not on 127.0.0.2:1"),
        "and says that it listens where it did: {note}"
    );
    assert_eq!(home.ask("select current_user"), "mesh_admin");
    assert_eq!(home.ask("show fsync"), "on");
    assert_eq!(home.ask("show listen_addresses"), "");

    kill(home.postgres());
    home.wait_for_an_answer();

    let postgres = home.postgres();
    kill(first["pid"].as_i64().unwrap());
    let second = home.up();
    assert_eq!(home.postgres(), postgres, "a server that runs is taken up");

    kill(second["pid"].as_i64().unwrap());
    kill(postgres);
    home.up();
    home.wait_for_an_answer();

    let down = home.mesh(&["down", "--json"]);
    assert_eq!(
        String::from_utf8_lossy(&down.stdout).trim(),
        r#"{"stopped":true}"#
    );
    assert!(!home.cluster().join("postmaster.pid").exists());
    let again = home.mesh(&["down", "--json"]);
    assert_eq!(
        String::from_utf8_lossy(&again.stdout).trim(),
        r#"{"stopped":false}"#
    );
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        // As root the server runs as somebody else, who must get through.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        Home(folder)
    }

    fn mesh(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command
            .env("MESH_HOME", self.0.path())
            .env_remove("MESH_DATABASE_URL")
            .args(arguments);
        command.output().unwrap()
    }

    fn up(&self) -> Value {
        let output = self.mesh(&["up", "--detach", "--json", "--listen", "127.0.0.1:0"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn ask(&self, query: &str) -> String {
        let output = self.mesh(&["psql", "-XAtc", query]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn wait_for_an_answer(&self) {
        let begun = Instant::now();
        while self.ask("select 'here'") != "here" {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the server does not come back"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn cluster(&self) -> PathBuf {
        self.0.path().join("postgres/data")
    }

    fn postgres(&self) -> i64 {
        let text = std::fs::read_to_string(self.cluster().join("postmaster.pid")).unwrap();
        text.lines().next().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.mesh(&["down"]);
    }
}

fn kill(pid: i64) {
    let status = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}
