//! Two windows in the hands of an MCP client that is not ours, while everything under them is killed.

mod common;

use common::ledger::{first_arrivals, texts_and_ids};
use common::team::Team;
use rmcp::model::{CallToolRequestParams, ClientConfig, CustomNotification, Implementation};
use rmcp::service::{NotificationContext, Peer, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_lose_no_acknowledged_message_and_keep_order() {
    let team = tokio::task::spawn_blocking(|| Team::of(&["ann", "bob"]))
        .await
        .unwrap();
    let (ann, bob) = (
        Window::open(&team, "ann", "bob").await,
        Window::open(&team, "bob", "ann").await,
    );
    pushed_both_ways("before", &ann, &bob).await;

    let stop = Arc::new(AtomicBool::new(false));
    let runs = [&ann, &bob].map(|window| {
        let (sender, reader) = (window.part(), window.part());
        let (no_more, done) = (stop.clone(), stop.clone());
        (
            tokio::spawn(async move { sender.send_on(&no_more).await }),
            tokio::spawn(async move { reader.read_on(&done).await }),
        )
    });
    for _ in 0..10 {
        goes_on(&ann, &bob).await;
        kill(number(&team.home().join("up.json"), |text| {
            serde_json::from_str::<Value>(text).ok()?["pid"].as_i64()
        }));
        tokio::task::block_in_place(|| team.up());
        goes_on(&ann, &bob).await;
        kill(number(
            &team.home().join("postgres/data/postmaster.pid"),
            |text| text.lines().next()?.trim().parse().ok(),
        ));
    }
    goes_on(&ann, &bob).await;
    stop.store(true, Ordering::Relaxed);
    for (sender, reader) in runs {
        sender.await.unwrap();
        reader.await.unwrap();
    }

    for (from, to) in [(&ann, &bob), (&bob, &ann)] {
        let (sent, got) = (from.sent(), to.got());
        assert!(sent.len() > 200, "{} were sent", sent.len());
        assert_eq!(first_arrivals(&got), sent, "from {} to {}", from.me, to.me);
        println!("{}: {} sent, {} arrivals", from.me, sent.len(), got.len());
    }
    pushed_both_ways("after", &ann, &bob).await;
    ann.client.cancel().await.unwrap();
    bob.client.cancel().await.unwrap();
}

/// Each sends one while nobody asks for mail, and the other is told by push.
async fn pushed_both_ways(word: &str, ann: &Window, bob: &Window) {
    for (from, to) in [(ann, bob), (bob, ann)] {
        let text = format!("{word}: a push for {}", to.me);
        let arguments = json!({"to": to.me, "message": text, "key": text});
        until("it is sent", || async {
            call(&from.peer, "send_message", arguments.clone())
                .await
                .is_some()
        })
        .await;
        until("it is pushed", || async {
            let notices = to.log.pushed.lock().unwrap();
            notices
                .iter()
                .any(|n| n["content"].as_str().is_some_and(|c| c.contains(&text)))
        })
        .await;
        let read = call(&to.peer, "check_messages", json!({})).await.unwrap();
        assert_eq!(read["messages"][0]["message"], text, "a push took nothing");
    }
}

/// Waits until each has sent and got ten more than now.
async fn goes_on(ann: &Window, bob: &Window) {
    let count = || {
        [ann, bob].map(|window| {
            let (sent, got) = (&window.log.sent, &window.log.got);
            sent.lock().unwrap().len().min(got.lock().unwrap().len())
        })
    };
    let before = count();
    until("messages flow both ways", || async {
        count()
            .iter()
            .zip(before)
            .all(|(now, before)| *now >= before + 10)
    })
    .await;
}

async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let begun = Instant::now();
    while !check().await {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "not in 120 s: {what}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// What happened at a window.
#[derive(Clone, Default)]
struct Log {
    /// the parameters of the channel's notices
    pushed: Arc<Mutex<Vec<Value>>>,
    /// texts whose send was answered
    sent: Arc<Mutex<Vec<String>>>,
    /// texts and ids in the order of their arrival
    got: Arc<Mutex<Vec<(String, String)>>>,
}

impl ClientHandler for Log {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(Default::default(), Implementation::new("claude-code", "1"))
    }

    async fn on_custom_notification(
        &self,
        notice: CustomNotification,
        _: NotificationContext<RoleClient>,
    ) {
        if notice.method == "notifications/claude/channel" {
            self.pushed
                .lock()
                .unwrap()
                .push(notice.params.unwrap_or_default());
        }
    }
}

/// An agent's `mesh mcp` and the client that drives it.
struct Window {
    me: &'static str,
    other: &'static str,
    log: Log,
    peer: Peer<RoleClient>,
    client: RunningService<RoleClient, Log>,
}

/// What a task of a window needs.
struct Part {
    me: &'static str,
    other: &'static str,
    log: Log,
    peer: Peer<RoleClient>,
}

impl Window {
    async fn open(team: &Team, me: &'static str, other: &'static str) -> Window {
        let mut command = tokio::process::Command::new(common::MESH);
        command
            .arg("--home")
            .arg(team.home())
            .args(["mcp", "--mesh", "proj", "--agent", me]);
        let log = Log::default();
        let transport = TokioChildProcess::new(command).unwrap();
        let client = log.clone().serve(transport).await.unwrap();
        let peer = client.peer().clone();
        Window {
            me,
            other,
            log,
            peer,
            client,
        }
    }

    fn part(&self) -> Part {
        Part {
            me: self.me,
            other: self.other,
            log: self.log.clone(),
            peer: self.peer.clone(),
        }
    }

    fn sent(&self) -> Vec<String> {
        self.log.sent.lock().unwrap().clone()
    }

    fn got(&self) -> Vec<(String, String)> {
        self.log.got.lock().unwrap().clone()
    }
}

impl Part {
    /// Sends numbered messages one after the other, each with its key until it is acknowledged.
    async fn send_on(self, stop: &AtomicBool) {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let text = format!("{} {number}", self.me);
            let arguments = json!({"to": self.other, "message": text, "key": text});
            until("a send is acknowledged", || async {
                call(&self.peer, "send_message", arguments.clone())
                    .await
                    .is_some()
            })
            .await;
            self.log.sent.lock().unwrap().push(text);
            number += 1;
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// Reads by turns with wait and check_messages, until it is to stop and nothing comes any more.
    async fn read_on(self, stop: &AtomicBool) {
        for turn in 0.. {
            let over = stop.load(Ordering::Relaxed);
            let read = match turn % 2 {
                0 => call(&self.peer, "wait", json!({"timeout": 3})).await,
                _ => call(&self.peer, "check_messages", json!({"limit": 100})).await,
            };
            let Some(read) = read else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let came = texts_and_ids(&read);
            if over && turn % 2 == 0 && came.is_empty() {
                return;
            }
            self.log.got.lock().unwrap().extend(came);
            // Time in which mail is pushed and not waited for.
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The result of a tool; None when it is an error, which must be one that says to try again.
async fn call(peer: &Peer<RoleClient>, tool: &'static str, arguments: Value) -> Option<Value> {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    let result = peer.call_tool(request).await.expect("an answer");
    if result.is_error == Some(true) {
        let text = serde_json::to_string(&result.content).unwrap();
        assert!(text.contains("ME503"), "{tool}: {text}");
        return None;
    }
    result.structured_content
}

/// A number out of a file that may be written at this moment.
fn number(path: &Path, read: impl Fn(&str) -> Option<i64>) -> i32 {
    let mut found = None;
    common::eventually("the file names a process", || {
        found = std::fs::read_to_string(path)
            .ok()
            .and_then(|text| read(&text));
        found.is_some_and(|pid| pid > 1)
    });
    i32::try_from(found.unwrap()).unwrap()
}

fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).expect("it runs");
}
