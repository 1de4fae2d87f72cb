//! Relay and Postgres killed in mid-run: what was acknowledged must arrive.

use crate::client::{Caller, PATIENCE};
use crate::measure::{data_folder, postmaster};
use crate::report::Report;
use crate::traffic::{Ledger, Receiver, letter};
use crate::world::{Member, World, windows};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::os::unix::{fs::MetadataExt, process::CommandExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PAIRS: usize = 4;
/// Sends of a sender that are under way when it is killed.
const LINES: usize = 8;
const BETWEEN: Duration = Duration::from_secs(3);
const CAPACITY: usize = 2_000_000;

pub async fn run(world: &mut World, report: &mut Report) {
    let members: Arc<[Member]> = world.mesh("kill", 2 * PAIRS).await.into();
    let (port, ledger) = (world.relay.port, Ledger::new(CAPACITY));
    let stop = Arc::new(AtomicBool::new(false));
    drop(windows(&members, port).await);
    let mut senders = JoinSet::new();
    let mut receivers = JoinSet::new();
    for pair in 0..PAIRS {
        let (members, ledger, stop) = (members.clone(), ledger.clone(), stop.clone());
        let (to, book, over) = (members.clone(), ledger.clone(), stop.clone());
        senders.spawn(async move {
            send_on(
                &members[pair],
                &members[PAIRS + pair].name,
                port,
                &ledger,
                &stop,
            )
            .await;
        });
        receivers.spawn(async move { receive_on(&to[PAIRS + pair], port, &book, &over).await });
    }
    for _ in 0..2 {
        sleep(BETWEEN).await;
        world.relay.kill();
        world.relay.restart();
        sleep(BETWEEN).await;
        restart_postgres();
    }
    sleep(BETWEEN).await;
    stop.store(true, Relaxed);
    senders.join_all().await;
    ledger.drained().await;
    // Sockets close, so that each receiver ends.
    world.relay.kill();
    world.relay.restart();
    let mut seen: Vec<Vec<(String, String)>> = receivers.join_all().await;
    for member in &members[PAIRS..] {
        seen.push(left(member, port).await);
    }

    let mut row = ledger.row("e 2 kills of relay, 2 of Postgres");
    let mut ids: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (text, id) in seen.iter().flatten() {
        let number = text.split(' ').next().unwrap_or_default();
        ids.entry(number).or_default().insert(id);
    }
    let again: usize = seen.iter().map(Vec::len).sum::<usize>() - ids.len();
    let is_lost = |number: &usize| !ids.contains_key(number.to_string().as_str());
    row.lost = Some(ledger.acked_numbers().filter(is_lost).count() as u64);
    row.received = Some(ids.len() as u64);
    // Shown again under the same id is how it should be; one send that became two messages is not.
    row.duplicated = Some(ids.values().filter(|ids| ids.len() > 1).count() as u64);
    row.more.insert("shown_again".into(), json!(again));
    row.target = "0 lost, 0 dup";
    report.row(row);
}

/// Several lines of numbered messages, each sent with its key until it is acknowledged.
async fn send_on(me: &Member, to: &str, port: u16, ledger: &Ledger, stop: &AtomicBool) {
    let caller = tokio::sync::Mutex::new(None::<Caller>);
    let lines = (0..LINES).map(|_| async {
        while !stop.load(Relaxed)
            && let Some(number) = ledger.open(Instant::now())
        {
            let arguments = letter(to, number, &format!(r#","key":"k{number}""#));
            // After the end, too: what was begun is seen through.
            while !try_send(me, port, &caller, &arguments, ledger, number).await {
                sleep(Duration::from_millis(50)).await;
            }
        }
    });
    futures_util::future::join_all(lines).await;
}

async fn try_send(
    me: &Member,
    port: u16,
    caller: &tokio::sync::Mutex<Option<Caller>>,
    arguments: &str,
    ledger: &Ledger,
    number: usize,
) -> bool {
    let mut current = caller.lock().await;
    if current.as_ref().is_none_or(Caller::is_closed) {
        *current = me.window(port).await.ok().map(|socket| socket.caller);
    }
    let Some(answer) = current.as_ref().map(|c| c.start("send_message", arguments)) else {
        return false;
    };
    drop(current);
    match timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) if answer.result.is_ok() => {
            ledger.acked(number, answer.at);
            true
        }
        _ => false,
    }
}

/// Receives and acknowledges, over one socket after the other; what was shown.
async fn receive_on(
    me: &Member,
    port: u16,
    ledger: &Ledger,
    stop: &AtomicBool,
) -> Vec<(String, String)> {
    let mut receiver = Receiver {
        seen: Some(Vec::new()),
        ..Receiver::default()
    };
    loop {
        match me.window(port).await {
            Ok(socket) => receiver.run(socket, ledger).await,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
        if stop.load(Relaxed) {
            return receiver.seen.unwrap_or_default();
        }
    }
}

/// What nobody pushed: taken from the inbox until it is empty.
async fn left(member: &Member, port: u16) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let socket = member.window(port).await.expect("the relay is back");
    loop {
        let taken = socket
            .caller
            .call("check_messages", &json!({"limit": 100}))
            .await;
        let messages = taken["messages"].as_array().expect("messages");
        if messages.is_empty() {
            return all;
        }
        let text = |message: &Value, name: &str| message[name].as_str().expect("text").to_owned();
        all.extend(
            messages
                .iter()
                .map(|m| (text(m, "message"), text(m, "message_id"))),
        );
    }
}

/// Kills the first process of the scratch server, whose children then end by themselves, and starts it again.
fn restart_postgres() {
    let pid = i32::try_from(postmaster()).unwrap_or(0);
    assert!(pid > 1, "the scratch server runs");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    let data = data_folder();
    let owner = std::fs::metadata(&data).expect("the data folder");
    let options =
        std::fs::read_to_string(data.join("postmaster.opts")).expect("how it was started");
    let program = options.split(' ').next().expect("a program");
    crate::common::eventually("Postgres is back", || {
        let mut command = Command::new(Path::new(program).with_file_name("pg_ctl"));
        let log = data.with_file_name("log");
        command
            .arg("-D")
            .arg(&data)
            .arg("-w")
            .arg("-l")
            .arg(log)
            .arg("restart");
        command
            .current_dir(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if owner.uid() != nix::unistd::geteuid().as_raw() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command.status().expect("pg_ctl starts").success()
    });
}
