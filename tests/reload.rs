//! Migrations and the reload of sql/, each test in a database of its own. Run by `tests/postgres`.

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

#[tokio::test]
async fn loads_only_what_changed() {
    let place = Place::new("reload_changed").await;
    assert_eq!(place.migrate()["loaded"], "everything");
    assert_eq!(place.migrate()["loaded"], "nothing");
    place.write("create function mesh.extra() returns integer language sql as $$ select 1 $$;");
    assert_eq!(place.migrate()["loaded"], "code");
    assert_eq!(place.number("select mesh.extra()").await, 1);
    place.write("create policy extra on mesh_data.account for select to mesh_admin using (true);");
    assert_eq!(place.migrate()["loaded"], "everything");
    let policies = "select count(*)::integer from pg_policy where polname = 'extra'";
    assert_eq!(place.number(policies).await, 1);
    place.write("");
    assert_eq!(place.migrate()["loaded"], "everything");
    assert_eq!(place.number(policies).await, 0);
}

#[tokio::test]
async fn a_trigger_stays_while_the_code_around_it_is_replaced() {
    let place = Place::new("reload_trigger").await;
    let trigger = "create function mesh_lib.extra() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger extra after insert on mesh_data.account for each statement execute function mesh_lib.extra();";
    place.write(trigger);
    assert_eq!(place.migrate()["loaded"], "everything");
    let oid = "select oid::integer from pg_trigger where tgname = 'extra'";
    let before = place.number(oid).await;
    place.write(&format!(
        "{trigger}\ncreate function mesh.extra() returns integer language sql as $$ select 1 $$;"
    ));
    assert_eq!(place.migrate()["loaded"], "code");
    assert_eq!(place.number(oid).await, before);
    place.write(&trigger.replace("return null", "perform 1; return null"));
    assert_eq!(place.migrate()["loaded"], "everything");
    assert_ne!(place.number(oid).await, before);
}

#[tokio::test]
async fn a_failure_names_its_line_and_changes_nothing() {
    let place = Place::new("reload_failure").await;
    place.migrate();
    place.write("create function mesh.extra() returns integer language sql as $$ select 1 $$;");
    place.migrate();
    place.write(
        "select 1;\n\ncreate function mesh.extra()\n  returns integer langage sql as 'select 2';",
    );
    place.refused("sql/api/extra.sql:4: syntax error", 70);
    assert_eq!(place.number("select mesh.extra()").await, 1);
}

#[tokio::test]
async fn what_others_built_on_ours_is_named_and_kept() {
    let place = Place::new("reload_others").await;
    place.write("create function mesh.extra() returns integer language sql as $$ select 1 $$;");
    place.migrate();
    place
        .client
        .batch_execute("create view public.theirs as select mesh.extra()")
        .await
        .unwrap();
    place.write("create function mesh.extra() returns integer language sql as $$ select 2 $$;");
    place.refused("view public.theirs depends on function mesh.extra()", 1);
    assert_eq!(place.number("select * from public.theirs").await, 1);
    place
        .client
        .batch_execute("drop view public.theirs")
        .await
        .unwrap();
    assert_eq!(place.migrate()["loaded"], "code");
}

#[tokio::test]
async fn never_goes_backwards() {
    let place = Place::new("reload_backwards").await;
    place.migrate();
    place
        .client
        .batch_execute("update mesh_data.code set release = '999.0.0'")
        .await
        .unwrap();
    place.refused("this database is newer: its code is of mesh 999.0.0", 1);
    place
        .client
        .batch_execute("update mesh_data.code set release = '0.0.1'")
        .await
        .unwrap();
    assert_eq!(place.migrate()["loaded"], "nothing");
    let future = "insert into public.refinery_schema_history values (9999, 'later', '2100-01-01T00:00:00Z', '1')";
    place.client.batch_execute(future).await.unwrap();
    place.refused("its tables are of version 9999", 1);
}

#[tokio::test]
async fn many_at_once_on_an_empty_database() {
    let place = Place::new("reload_many").await;
    let loaded: Vec<Value> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| place.migrate()["loaded"].clone()))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(
        loaded
            .iter()
            .filter(|loaded| *loaded == "everything")
            .count(),
        1,
        "{loaded:?}"
    );
}

#[tokio::test]
async fn waits_for_a_long_reader_and_says_so() {
    let place = Place::new("reload_reader").await;
    place.migrate();
    let reader = connect("reload_reader").await;
    reader
        .batch_execute("begin; select from mesh_data.account")
        .await
        .unwrap();
    place.write("create policy extra on mesh_data.account for select to mesh_admin using (true);");
    let begun = Instant::now();
    let mut run = place.command();
    let waiting = tokio::task::spawn_blocking(move || run.output().unwrap());
    tokio::time::sleep(Duration::from_secs(2)).await;
    reader.batch_execute("commit").await.unwrap();
    let output = waiting.await.unwrap();
    assert!(output.status.success());
    assert!(begun.elapsed() > Duration::from_secs(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("waiting for locks"));
}

/// A scratch database and a scratch copy of the SQL.
struct Place {
    name: &'static str,
    client: Client,
    source: tempfile::TempDir,
}

impl Place {
    async fn new(name: &'static str) -> Place {
        let maintenance = connect("postgres").await;
        maintenance
            .batch_execute(&format!("drop database if exists {name}"))
            .await
            .unwrap();
        maintenance
            .batch_execute(&format!("create database {name}"))
            .await
            .unwrap();
        let source = tempfile::tempdir().unwrap();
        for folder in ["migrations", "sql", "sql/lib", "sql/api"] {
            copy(
                &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
                &source.path().join(folder),
            );
        }
        Place {
            name,
            client: connect(name).await,
            source,
        }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.source.path().join("sql/api/extra.sql"), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::cargo_bin("mesh").unwrap();
        command
            .args([
                "migrate",
                "--json",
                "--database-url",
                &url(self.name),
                "--source",
            ])
            .arg(self.source.path());
        command
    }

    fn migrate(&self) -> Value {
        let output = self
            .command()
            .assert()
            .success()
            .get_output()
            .stdout
            .clone();
        serde_json::from_slice(&output).unwrap()
    }

    fn refused(&self, why: &str, code: i32) {
        let output = self.command().assert().code(code).get_output().clone();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{said}");
    }

    async fn number(&self, query: &str) -> i32 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }
}

fn url(database: &str) -> String {
    let base = std::env::var("MESH_TEST_DATABASE").expect("run this by tests/postgres");
    base.replacen(":///postgres?", &format!(":///{database}?"), 1)
}

async fn connect(database: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&url(database), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_file())
    {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
